package bipadapter

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// A Verdict is what is right about a block. Each is judged by itself: a block
// whose file was exchanged may still be linked, and one that was copied from
// another session may have all its hashes right.
type Verdict struct {
	Chain string // the name of its chain
	Block Block

	Format    bool // written as the format has it, with hashes that are SHA-256
	FileHash  bool // that of its files
	BlockHash bool // that of what it says
	Link      bool // to the block before
	Ordered   bool // in time: not before the block before

	// LineEnds says that FileHash is right with line ends of this kind alone, "LF"
	// or "CRLF", other than those of the file.
	LineEnds string

	// Missing are files that are not there to compare.
	Missing []string

	// Replayed is the name of an earlier chain, or of its own, in which a block
	// with the same file hash or block hash stands.
	Replayed string

	Problems []string // all that is wrong, in words
}

// OK reports whether the block is as it was written: format, hashes and link.
// Times that run backwards and replays are for people to judge.
func (v *Verdict) OK() bool { return v.Format && v.FileHash && v.BlockHash && v.Link }

// VerifyChain checks the chains of a file, block by block. Files are what its
// blocks speak of: for a voting chain relative to the session's folder, and for
// BIP-01 in a folder of the BIP's name, or beside it. Earlier are chains in which
// blocks of this one must not stand. The error is that of [ReadChains].
//
// A link is right whatever the hash that it leads to: who alters a block and its
// hash breaks the link after it.
func VerifyChain(format Format, chain io.Reader, files fs.FS, earlier ...Chain) ([]Verdict, error) {
	chains, err := ReadChains(format, chain)
	if err != nil {
		return nil, err
	}
	var verdicts []Verdict
	seen := map[string]string{}
	for _, e := range earlier {
		for _, b := range e.Blocks {
			remember(seen, b, called(e.Name, "an earlier chain"))
		}
	}
	for _, c := range chains {
		for i, b := range c.Blocks {
			v := Verdict{Chain: c.Name, Block: b}
			v.form(c, i)
			v.files(c, files)
			v.link(c, i)
			v.time(c, i)
			v.replayed(seen)
			remember(seen, b, called(c.Name, "this chain"))
			verdicts = append(verdicts, v)
		}
	}
	return verdicts, nil
}

func called(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
}

func remember(seen map[string]string, b Block, name string) {
	for _, hash := range []string{"file " + b.FileHash, "block " + b.Hash} {
		if _, ok := seen[hash]; !ok {
			seen[hash] = name
		}
	}
}

func (v *Verdict) wrong(format string, args ...any) {
	v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
}

// knows reports whether a block may be of a type. Voting chains have called the
// same things by different names.
func (f Format) knows(kind string) bool {
	if f == BIP01Chain {
		return slices.Contains([]string{"draft", "review", "implementation", "testing", "deployment"}, kind)
	}
	return kind != "" && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz_-") == ""
}

// first returns the index that most of the blocks say the chain begins with.
func (c *Chain) first() int {
	votes := 0
	for i, b := range c.Blocks {
		switch b.Index {
		case i:
			votes++
		case i + 1:
			votes--
		}
	}
	if votes > 0 {
		return 0
	}
	return 1
}

func (v *Verdict) form(c Chain, i int) {
	b := v.Block
	before := len(v.Problems)
	if b.odd != "" {
		v.wrong("format: %s", b.odd)
	}
	if b.Index != c.first()+i {
		v.wrong("format: index %d at place %d", b.Index, i+1)
	}
	if _, err := time.Parse(time.RFC3339, b.Time); err != nil || !strings.HasSuffix(b.Time, "Z") {
		v.wrong("format: the time is none in UTC")
	}
	if !c.Format.knows(b.Type) {
		v.wrong("format: %s is no type of block", clip(b.Type))
	}
	if !plain(b.Model) {
		v.wrong("format: no model")
	}
	if len(b.Files) == 0 {
		v.wrong("format: no file")
	}
	for _, name := range b.Files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, `\:|`) {
			v.wrong("format: %s is no path of a file", clip(name))
		}
	}
	if strings.Contains(b.Type+b.Model+b.Time+b.Previous, "|") {
		v.wrong("format: a field holds what separates fields")
	}
	// The hash of the block before is that block's to have right.
	for _, h := range []struct{ name, hash string }{{"file hash", b.FileHash}, {"block hash", b.Hash}} {
		if !isDigest(h.hash) {
			v.wrong("format: the %s is no SHA-256 in lower-case hex: it has %d characters", h.name, len(h.hash))
		}
	}
	v.Format = len(v.Problems) == before
	v.BlockHash = b.sum(c.Format) == b.Hash
	if !v.BlockHash {
		v.wrong("the block hash is not that of what the block says")
	}
}

func isDigest(hash string) bool {
	return len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

// files compares the files of a block with their hash.
func (v *Verdict) files(c Chain, files fs.FS) {
	var contents [][]byte
	for _, name := range v.Block.Files {
		content, err := readFile(files, c, name)
		if err != nil {
			v.Missing = append(v.Missing, name)
			continue
		}
		contents = append(contents, content)
	}
	if len(v.Missing) > 0 {
		v.wrong("%d of its files are not there", len(v.Missing))
		return
	}
	lf, crlf := make([][]byte, len(contents)), make([][]byte, len(contents))
	for i, content := range contents {
		lf[i] = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
		crlf[i] = bytes.ReplaceAll(lf[i], []byte("\n"), []byte("\r\n"))
	}
	switch v.Block.FileHash {
	case fileHash(contents):
	case fileHash(lf):
		v.LineEnds = "LF"
	case fileHash(crlf):
		v.LineEnds = "CRLF"
	default:
		v.wrong("the file hash is not that of the file")
		return
	}
	v.FileHash = len(contents) > 0
}

func readFile(files fs.FS, c Chain, name string) ([]byte, error) {
	if files == nil || !fs.ValidPath(name) {
		return nil, fs.ErrNotExist
	}
	if c.Format == BIP01Chain {
		content, err := fs.ReadFile(files, path.Join(c.Name, name))
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
			return content, err
		}
	}
	return fs.ReadFile(files, name)
}

func (v *Verdict) link(c Chain, i int) {
	want := ""
	if i > 0 {
		want = c.Blocks[i-1].Hash
	}
	v.Link = v.Block.Previous == want
	if !v.Link {
		v.wrong("it is not linked to the block before")
	}
}

func (v *Verdict) time(c Chain, i int) {
	at, err := time.Parse(time.RFC3339, v.Block.Time)
	if err != nil {
		return
	}
	if i > 0 {
		if before, err := time.Parse(time.RFC3339, c.Blocks[i-1].Time); err == nil && at.Before(before) {
			v.wrong("it is older than the block before, by %v", before.Sub(at))
			return
		}
	}
	v.Ordered = true
}

func (v *Verdict) replayed(seen map[string]string) {
	b := v.Block
	for _, hash := range []string{"file " + b.FileHash, "block " + b.Hash} {
		kind, digest, _ := strings.Cut(hash, " ")
		if from, ok := seen[hash]; ok && isDigest(digest) {
			v.Replayed = from
			v.wrong("its %s hash stands in %s already", kind, clip(from))
		}
	}
}
