package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

const usage = `usage: quickstart [-seed N] [-trace FILE] [-port N]
       quickstart -endpoint URL -model NAME

  -seed N         what goes wrong when, and the synthetic traffic; 1
  -trace FILE     replay this trace: TIMESTAMP,ContextTokens,GeneratedTokens, plain or gzip
  -port N         serve the fakes on this port and the three after it; any that are free
  -endpoint URL   talk to this OpenAI-compatible server, such as https://api.openai.com/v1;
                  a key is taken from OPENAI_API_KEY
  -model NAME     the model to talk to
`

// options are what was asked for.
type options struct {
	seed     uint64
	trace    string
	port     int
	endpoint string
	model    string
	key      string
	limits   Limits
}

// A usageError means that the user must ask for something else.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func parse(args []string) (options, error) {
	o := options{limits: limits}
	fs := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Uint64Var(&o.seed, "seed", 1, "")
	fs.StringVar(&o.trace, "trace", "", "")
	fs.IntVar(&o.port, "port", 0, "")
	fs.StringVar(&o.endpoint, "endpoint", "", "")
	fs.StringVar(&o.model, "model", "", "")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, err
	} else if err != nil {
		return o, usagef("%w (-h shows all flags)", err)
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case fs.NArg() > 0:
		return o, usagef("unexpected argument %q (-h shows all flags)", fs.Arg(0))
	case given["port"] && (o.port < 1 || o.port > 65532):
		return o, usagef("-port %d: want 1 to 65532", o.port)
	case given["trace"] && o.trace == "":
		return o, usagef("-trace needs the name of a file")
	case !given["endpoint"] && !given["model"]:
		return o, nil
	case !given["endpoint"]:
		return o, usagef("-model needs -endpoint")
	case given["trace"] || given["port"] || given["seed"]:
		return o, usagef("-endpoint goes with -model alone")
	case o.model == "":
		return o, usagef("-endpoint needs -model")
	}
	o.key = os.Getenv("OPENAI_API_KEY")
	var err error
	o.endpoint, err = checkURL(o.endpoint)
	return o, err
}

// checkURL returns the URL that /chat/completions is appended to.
func checkURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err, ok := errors.AsType[*url.Error](err); ok {
		return "", usagef("-endpoint: not a URL: %w", err.Err) // which may contain a password, so is not shown
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", usagef("-endpoint %q: want a URL such as https://api.openai.com/v1", u.Redacted())
	case u.User != nil:
		return "", usagef("-endpoint %q: put the key into OPENAI_API_KEY", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return "", usagef("-endpoint %q: want no query and no fragment", u.Redacted())
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/chat/completions"), "/")
	return u.String(), nil
}

// fileError makes an error of a file one that the user can act on.
func fileError(flag string, err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return usagef("%s %w", flag, err)
}

// oneLine is an error as a line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
