// Bipverify checks records of rounds: whether each is in its log as it was signed,
// and whether its outcome follows from the answers in it.
//
//	bipverify [-log KEY]... [-witness KEY]... record.json...
//
// Give all records of the rounds on a BIP, from the first. Without -log the keys that
// the records name are taken, and they are SELF-ATTESTED at most. Of a log that went
// over to another key give any of its keys: records from after that show the handover.
//
// It prints VERIFIED, SELF-ATTESTED or FAILED and the reason in one line. The exit
// status is 0, 0 or 1; 2 if it was called wrongly or a file cannot be read.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/cmmv-hive/resilience/bipadapter"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, problems io.Writer) int {
	var keys bipadapter.Keys
	flags := flag.NewFlagSet("bipverify", flag.ContinueOnError)
	flags.SetOutput(problems)
	flags.Usage = func() {
		fmt.Fprintln(problems, "usage: bipverify [-log KEY]... [-witness KEY]... record.json...")
		flags.PrintDefaults()
		fmt.Fprintln(problems, "Give all records of the rounds on a BIP, and of a log that went over to another key any of its keys.")
	}
	flags.Func("log", "public `key` of a log that you trust, NAME+HASH+BASE64", add(&keys.Logs))
	flags.Func("witness", "public `key` of a witness that you trust, NAME+HASH+BASE64", add(&keys.Witnesses))
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() == 0 {
		fmt.Fprintln(problems, "bipverify: no record; name the file that the round's record was written to")
		flags.Usage()
		return 2
	}
	var records []io.Reader
	var failed error
	for _, name := range flags.Args() {
		info, err := os.Stat(name)
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory; name the files in it", name)
		}
		if err != nil {
			fmt.Fprintln(problems, "bipverify:", err)
			return 2
		}
		records = append(records, &file{path: name, failed: &failed})
	}
	finding, reason := bipadapter.Verify(keys, records...)
	if failed != nil {
		fmt.Fprintln(problems, "bipverify:", failed)
		return 2
	}
	fmt.Fprintf(out, "%s: %s\n", finding, reason)
	if finding == bipadapter.Failed {
		return 1
	}
	return 0
}

// A file is open from its first byte to its last, as there may be more records than a
// process may have files open.
type file struct {
	path   string
	open   *os.File
	failed *error
}

// Name is what findings call it.
func (f *file) Name() string { return f.path }

// Read implements [io.Reader].
func (f *file) Read(p []byte) (int, error) {
	if f.open == nil {
		if f.open, *f.failed = os.Open(f.path); *f.failed != nil {
			return 0, *f.failed
		}
	}
	n, err := f.open.Read(p)
	if err != nil {
		_ = f.open.Close()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		*f.failed = err
	}
	return n, err
}

func add(to *[]string) func(string) error {
	return func(s string) error {
		*to = append(*to, s)
		return nil
	}
}
