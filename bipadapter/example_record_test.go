package bipadapter_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"os"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// A record is checked with the log's key and a witness's. An edited one fails.
func ExampleVerify() {
	keys := bipadapter.Keys{
		Logs:      []string{"example.org/votes+86e4cc21+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c"},
		Witnesses: []string{"witness.example+a50367b6+BP0XJDhaoMdbZPt4zWAvodmR/ev3axPFjtcC6sg16fYY"},
	}
	record, err := os.ReadFile("testdata/records/majority.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(bipadapter.Verify(keys, bytes.NewReader(record)))
	edited := bytes.Replace(record, []byte(`"outcome":"approved"`), []byte(`"outcome":"rejected"`), 1)
	fmt.Println(bipadapter.Verify(keys, bytes.NewReader(edited)))
	// Output:
	// VERIFIED round "r1" on "BIP majority": approved, "approve"; cosigned by witness.example
	// FAILED record 1 (round "r1", counter 1 on "BIP majority"): closing: it says "rejected", and the ballots come to approved
}

// A log is a directory. Its checkpoint, kept elsewhere, shows later that nothing in
// it was taken away.
func ExampleOpenLog() {
	dir, err := os.MkdirTemp("", "votes")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := bipadapter.OpenLog(dir, "example.org/votes", key)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	kept := log.Checkpoint()
	fmt.Println(log.Extends(kept))

	_, err = bipadapter.OpenLog(dir, "example.org/votes", key)
	fmt.Println(err != nil, "only one process has it open")
	// Output:
	// <nil>
	// true only one process has it open
}
