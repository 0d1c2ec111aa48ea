package bipadapter

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A Format is how the hive writes a chain down.
type Format string

// The formats that the hive has published.
const (
	// VotingChain is that of gov/minutes/NNNN/voting_chain.json: an object with
	// minute_id and chain, or the blocks alone. A block is about one ballot file,
	// and its hash that of "index|timestamp|previous_hash|type|model|vote_file|vote_file_hash".

	VotingChain Format = "voting"

	// BIP01Chain is that of bips/implementation_blockchain.json: an object with
	// chains, each of a BIP. A block is about several files, hashed as one with
	// "\n---\n" between them, and its hash that of
	// "index|timestamp|previousHash|type|model|action|fileHash".

	BIP01Chain Format = "bip-01"
)

// A Block is one entry of a chain as it was written, true or not.
type Block struct {
	Index    int
	Time     string // as written; hashes are of the text
	Previous string // hash of the block before; "" for none
	Type     string
	Model    string
	Action   string   // BIP01Chain only
	Files    []string // VotingChain has one
	FileHash string
	Hash     string

	odd string // what is wrong with how it is written
}

// A Chain is a chain of blocks about one session or BIP.
type Chain struct {
	Format Format
	Name   string // of the session or the BIP; "" if the file does not say
	Blocks []Block
}

const (
	maxChain  = 4 << 20
	separator = "\n---\n"
)

// ReadChains reads the chains of a file of at most 4 MiB; a voting chain is one.
// What a block lacks or has too much is found by [VerifyChain]; the error is that
// of what is no chain at all.
func ReadChains(format Format, r io.Reader) ([]Chain, error) {
	if format != VotingChain && format != BIP01Chain {
		return nil, fmt.Errorf("chain: %s is no format; there are %q and %q", clip(string(format)), VotingChain, BIP01Chain)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxChain+1))
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	chains, err := readChains(format, data)
	if err != nil {
		return nil, fmt.Errorf("chain: %w", err)
	}
	return chains, nil
}

func readChains(format Format, data []byte) ([]Chain, error) {
	if kind(data) == '[' && format == VotingChain {
		blocks, err := readBlocks(format, data)
		return []Chain{{Format: format, Blocks: blocks}}, err
	}
	members, err := object(data, maxChain)
	if err != nil {
		return nil, err
	}
	if format == VotingChain {
		chain, err := readChain(format, members)
		return []Chain{chain}, err
	}
	for _, m := range members {
		if m.key != "chains" {
			continue
		}
		elements, err := list(m.value, maxChain)
		if err != nil {
			return nil, fmt.Errorf("chains: %w", err)
		}
		chains := make([]Chain, 0, len(elements))
		for i, e := range elements {
			members, err := object(e, maxChain)
			if err == nil {
				var chain Chain
				chain, err = readChain(format, members)
				chains = append(chains, chain)
			}
			if err != nil {
				return nil, fmt.Errorf("chains[%d]: %w", i, err)
			}
		}
		return chains, nil
	}
	return nil, errors.New("no chains")
}

func readChain(format Format, members []member) (c Chain, err error) {
	c.Format = format
	found := false
	for _, m := range members {
		switch m.key {
		case "minute_id", "bipId":
			if c.Name, err = text(m, maxName); err != nil {
				return c, err
			}
		case "chain":
			found = true
			if c.Blocks, err = readBlocks(format, m.value); err != nil {
				return c, fmt.Errorf("chain: %w", err)
			}
		}
	}
	if !found {
		return c, errors.New("no chain")
	}
	return c, nil
}

func readBlocks(format Format, data []byte) ([]Block, error) {
	elements, err := list(data, maxChain)
	if err != nil {
		return nil, err
	}
	blocks := make([]Block, 0, len(elements))
	for i, e := range elements {
		members, err := object(e, maxChain)
		if err != nil {
			return nil, fmt.Errorf("block %d: %w", i, err)
		}
		blocks = append(blocks, readBlock(format, members))
	}
	return blocks, nil
}

// keysOf are the names of a block's fields, in the order of the format.
func (f Format) keys() []string {
	if f == BIP01Chain {
		return []string{"index", "timestamp", "previousHash", "type", "model", "action", "files", "fileHash", "hash"}
	}
	return []string{"index", "timestamp", "previous_hash", "type", "model", "vote_file", "vote_file_hash", "block_hash"}
}

func readBlock(format Format, members []member) (b Block) {
	seen := map[string]bool{}
	odd := func(what string) {
		if b.odd == "" {
			b.odd = what
		}
	}
	for _, m := range members {
		seen[m.key] = true
		if m.key == "index" {
			if kind(m.value) != 0 || json.Unmarshal(m.value, &b.Index) != nil {
				odd("index is no whole number")
			}
			continue
		}
		if m.key == "files" {
			if kind(m.value) != '[' || json.Unmarshal(m.value, &b.Files) != nil {
				odd("files is no list of names")
			}
			continue
		}
		to := map[string]*string{
			"timestamp": &b.Time, "previous_hash": &b.Previous, "previousHash": &b.Previous, "type": &b.Type, "model": &b.Model,
			"action": &b.Action, "vote_file_hash": &b.FileHash, "fileHash": &b.FileHash, "block_hash": &b.Hash, "hash": &b.Hash,
		}[m.key]
		var file string
		if m.key == "vote_file" {
			to = &file
		}
		switch {
		case to == nil:
			odd("an unknown key " + clip(m.key))
		case string(m.value) == "null" && to == &b.Previous:
		case kind(m.value) != '"' || json.Unmarshal(m.value, to) != nil:
			odd(m.key + " is no string")
		}
		if m.key == "vote_file" {
			b.Files = []string{file}
		}
	}
	for _, key := range format.keys() {
		if !seen[key] {
			odd("no " + key)
		}
		delete(seen, key)
	}
	if len(seen) > 0 {
		odd("keys of another format")
	}
	return b
}

// Add appends a block about files, whose contents are given in their order, and
// returns it. Its time is at, in UTC.
func (c *Chain) Add(at time.Time, kind, model, action string, files []string, contents ...[]byte) Block {
	b := Block{
		Index: len(c.Blocks) + 1, Time: at.UTC().Format("2006-01-02T15:04:05.000Z"),
		Type: kind, Model: model, Action: action, Files: files, FileHash: fileHash(contents),
	}
	if n := len(c.Blocks); n > 0 {
		b.Index, b.Previous = c.Blocks[n-1].Index+1, c.Blocks[n-1].Hash
	}
	b.Hash = b.sum(c.Format)
	c.Blocks = append(c.Blocks, b)
	return b
}

// sum returns the hash that b should have.
func (b Block) sum(format Format) string {
	fields := []string{fmt.Sprint(b.Index), b.Time, b.Previous, b.Type, b.Model}
	if format == BIP01Chain {
		fields = append(fields, b.Action)
	} else {
		fields = append(fields, strings.Join(b.Files, ","))
	}
	return digest([]byte(strings.Join(append(fields, b.FileHash), "|")))
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func fileHash(contents [][]byte) string {
	var all []byte
	for i, content := range contents {
		if i > 0 {
			all = append(all, separator...)
		}
		all = append(all, content...)
	}
	return digest(all)
}

// WriteChains writes chains of one format as [ReadChains] reads them. A voting
// chain stands alone.
func WriteChains(w io.Writer, chains ...Chain) error {
	var docs []any
	for _, c := range chains {
		if c.Format != chains[0].Format || c.Format == VotingChain && len(chains) > 1 {
			return errors.New("chain: a file holds chains of one format, and one voting chain")
		}
		docs = append(docs, c.document())
	}
	var doc any = map[string]any{"chains": docs}
	switch {
	case len(chains) == 0:
		return errors.New("chain: nothing to write")
	case chains[0].Format == VotingChain:
		doc = docs[0]
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("chain: %w", err)
	}
	return nil
}

func (c *Chain) document() any {
	blocks := make([]map[string]any, 0, len(c.Blocks))
	for _, b := range c.Blocks {
		var previous any
		if b.Previous != "" {
			previous = b.Previous
		}
		values := []any{b.Index, b.Time, previous, b.Type, b.Model}
		if c.Format == BIP01Chain {
			values = append(values, b.Action, b.Files)
		} else {
			values = append(values, strings.Join(b.Files, ","))
		}
		block := map[string]any{}
		for i, v := range append(values, b.FileHash, b.Hash) {
			block[c.Format.keys()[i]] = v
		}
		blocks = append(blocks, block)
	}
	if c.Format == BIP01Chain {
		return map[string]any{"bipId": c.Name, "chain": blocks}
	}
	return map[string]any{"minute_id": c.Name, "chain": blocks}
}
