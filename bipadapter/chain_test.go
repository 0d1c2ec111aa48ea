package bipadapter_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/internal/datasets"
)

// TestPublishedChains verifies what the hive has published.
func TestPublishedChains(t *testing.T) {
	var earlier []bipadapter.Chain
	for _, c := range []struct {
		id       string
		blocks   int
		bad      map[int]string // by index: what is wrong in the blocks that are not OK
		lineEnds int
		back     int // blocks older than the one before
	}{
		{"0001", 10, map[int]string{4: "format,file,block", 9: "format,file,block"}, 0, 0},
		{"0002", 11, map[int]string{0: "format,file,block,link"}, 6, 0},
		{"0003", 11, map[int]string{9: "format,file,block", 11: "file,block"}, 0, 5},
		{"0004", 12, map[int]string{6: "block", 7: "file,block", 8: "file,block"}, 2, 2},
	} {
		t.Run(c.id, func(t *testing.T) {
			dir := datasets.Path(t, path.Join(minutes, c.id))
			verdicts, err := bipadapter.VerifyChain(bipadapter.VotingChain, datasets.Open(t, path.Join(minutes, c.id, "voting_chain.json")), os.DirFS(dir), earlier...)
			require.NoError(t, err)
			require.Len(t, verdicts, c.blocks)
			got, lineEnds, back := map[int]string{}, 0, 0
			for _, v := range verdicts {
				if !v.OK() {
					got[v.Block.Index] = flaws(v)
					t.Logf("%s: finding: block %d, %s: %s", c.id, v.Block.Index, v.Block.Model, strings.Join(v.Problems, "; "))
				}
				if v.LineEnds != "" {
					lineEnds++
				}
				if !v.Ordered {
					back++
				}
				require.Empty(t, v.Replayed)
			}
			t.Logf("published: HiveChains/%s: measured %d of %d blocks valid, reference none, target %d", c.id, c.blocks-len(got), c.blocks, c.blocks-len(c.bad))
			require.Equal(t, c.bad, got)
			require.Equal(t, c.lineEnds, lineEnds)
			require.Equal(t, c.back, back)
			chains, err := bipadapter.ReadChains(bipadapter.VotingChain, datasets.Open(t, path.Join(minutes, c.id, "voting_chain.json")))
			require.NoError(t, err)
			chains[0].Name = c.id
			earlier = append(earlier, chains...)
		})
	}

	t.Run("0004 after the vote", func(t *testing.T) {
		const later = "hive-votes/hivellm-gov/minutes/0004"
		verdicts, err := bipadapter.VerifyChain(bipadapter.VotingChain, datasets.Open(t, later+"/voting_chain.json"), os.DirFS(datasets.Path(t, later)))
		require.NoError(t, err)
		require.False(t, verdicts[5].FileHash, "a ballot was edited after the vote")
	})

	t.Run("BIP-01", func(t *testing.T) {
		verdicts, err := bipadapter.VerifyChain(bipadapter.BIP01Chain, datasets.Open(t, "hive-votes/hivellm-gov/bips/implementation_blockchain.json"), nil)
		require.NoError(t, err)
		require.Len(t, verdicts, 7)
		for _, v := range verdicts {
			require.Equal(t, "file", flaws(v), "the files are not part of the data: %v", v.Problems)
			require.Equal(t, v.Block.Files, v.Missing)
		}
		t.Logf("published: HiveChains/BIP-01: measured %d of 7 blocks with a right hash and link, reference 7, target 7", len(verdicts))
	})
}

// flaws lists the verdicts that are against a block.
func flaws(v bipadapter.Verdict) string {
	var all []string
	for _, f := range []struct {
		ok   bool
		name string
	}{{v.Format, "format"}, {v.FileHash, "file"}, {v.BlockHash, "block"}, {v.Link, "link"}} {
		if !f.ok {
			all = append(all, f.name)
		}
	}
	return strings.Join(all, ",")
}

// made makes a chain of four blocks, and the files that it is about.
func made(format bipadapter.Format) (bipadapter.Chain, fstest.MapFS) {
	c, files := bipadapter.Chain{Format: format, Name: "0007"}, fstest.MapFS{}
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for i, model := range []string{"a", "b", "c", "d"} {
		names := []string{"votes/" + model + ".json"}
		kind, action := "vote", ""
		if format == bipadapter.BIP01Chain {
			kind, action, names = "draft", "wrote <it> & more", append(names, "extra-"+model)
		}
		var contents [][]byte
		for _, name := range names {
			content := []byte(fmt.Sprintf("{\"model\":%q,\n\"n\":%d}\n", model, i))
			files[name] = &fstest.MapFile{Data: content}
			contents = append(contents, content)
		}
		c.Add(at.Add(time.Duration(i)*time.Minute), kind, model, action, names, contents...)
	}
	return c, files
}

func write(t *testing.T, c ...bipadapter.Chain) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, bipadapter.WriteChains(&buf, c...))
	return buf.Bytes()
}

func verify(t *testing.T, format bipadapter.Format, text []byte, files fstest.MapFS, earlier ...bipadapter.Chain) []bipadapter.Verdict {
	t.Helper()
	verdicts, err := bipadapter.VerifyChain(format, bytes.NewReader(text), files, earlier...)
	require.NoError(t, err)
	return verdicts
}

// TestVerifyChainFlags alters every field of every block, and requires the
// verdicts against that block and, where its hash was altered, against the link to
// it; and against nothing else.
func TestVerifyChainFlags(t *testing.T) {
	for _, format := range []bipadapter.Format{bipadapter.VotingChain, bipadapter.BIP01Chain} {
		chain, files := made(format)
		clean := write(t, chain)
		for _, v := range verify(t, format, clean, files) {
			require.True(t, v.OK() && v.Ordered && v.Replayed == "" && v.LineEnds == "" && v.Problems == nil, "%+v", v)
		}
		read, err := bipadapter.ReadChains(format, bytes.NewReader(clean))
		require.NoError(t, err)
		require.Equal(t, []bipadapter.Chain{chain}, read)

		for i, block := range chain.Blocks {
			for name, c := range map[string]struct {
				alter func(b *bipadapter.Block)
				want  string
				next  string // against the block after
			}{
				"index":      {func(b *bipadapter.Block) { b.Index += 7 }, "format,block", ""},
				"time":       {func(b *bipadapter.Block) { b.Time = strings.Replace(b.Time, "00.000Z", "01.000Z", 1) }, "block", ""},
				"not a time": {func(b *bipadapter.Block) { b.Time = "noon" }, "format,block", ""},
				"previous":   {func(b *bipadapter.Block) { b.Previous = strings.Repeat("ab", 32) }, "block,link", ""},
				"type": {func(b *bipadapter.Block) {
					b.Type = map[bool]string{true: "review", false: "finalize"}[format == bipadapter.BIP01Chain]
				}, "block", ""},
				"unknown type": {func(b *bipadapter.Block) { b.Type = "Vote!" }, "format,block", ""},
				"model":        {func(b *bipadapter.Block) { b.Model = "e" }, "block", ""},
				"file hash":    {func(b *bipadapter.Block) { b.FileHash = strings.Repeat("ab", 32) }, "file,block", ""},
				"short hash":   {func(b *bipadapter.Block) { b.FileHash = b.FileHash[:63] }, "format,file,block", ""},
				"block hash":   {func(b *bipadapter.Block) { b.Hash = strings.Repeat("ab", 32) }, "block", "link"},
				"upper case":   {func(b *bipadapter.Block) { b.Hash = strings.Repeat("AB", 32) }, "format,block", "link"},
			} {
				t.Run(fmt.Sprintf("%s %d %s", format, i+1, name), func(t *testing.T) {
					altered := chain
					altered.Blocks = append([]bipadapter.Block(nil), chain.Blocks...)
					altered.Blocks[i] = block
					c.alter(&altered.Blocks[i])
					for j, v := range verify(t, format, write(t, altered), files) {
						want := map[int]string{i: c.want, i + 1: c.next}[j]
						require.Equal(t, want, flaws(v), "block %d: %v", j+1, v.Problems)
						require.Equal(t, want == "" && v.Ordered, len(v.Problems) == 0)
					}
				})
			}
			// What the block is about.
			for _, file := range block.Files {
				kept := files[file]
				files[file] = &fstest.MapFile{Data: append([]byte(" "), kept.Data...)}
				for j, v := range verify(t, format, clean, files) {
					require.Equal(t, map[int]string{i: "file"}[j], flaws(v))
				}
				delete(files, file)
				for j, v := range verify(t, format, clean, files) {
					require.Equal(t, map[int]string{i: "file"}[j], flaws(v))
					require.Equal(t, j == i, len(v.Missing) == 1)
				}
				files[file] = &fstest.MapFile{Data: bytes.ReplaceAll(kept.Data, []byte("\n"), []byte("\r\n"))}
				if format == bipadapter.VotingChain {
					got := verify(t, format, clean, files)[i]
					require.True(t, got.OK())
					require.Equal(t, "LF", got.LineEnds)
				}
				files[file] = kept
			}
		}
	}
}

// TestVerifyChainOfForgers alters a block and makes its hash right again.
func TestVerifyChainOfForgers(t *testing.T) {
	chain, files := made(bipadapter.VotingChain)
	forged := bipadapter.Chain{Format: chain.Format, Name: chain.Name}
	forged.Blocks = append(forged.Blocks, chain.Blocks[0])
	b := forged.Add(time.Date(2026, 11, 30, 12, 1, 0, 0, time.UTC), "vote", "mallory", "", []string{"votes/b.json"}, files["votes/b.json"].Data)
	forged.Blocks = append(forged.Blocks, chain.Blocks[2:]...)
	require.NotEqual(t, chain.Blocks[1].Hash, b.Hash)
	for j, v := range verify(t, chain.Format, write(t, forged), files) {
		require.Equal(t, map[int]string{2: "link"}[j], flaws(v))
	}
	// A block taken out, and two that changed places.
	gone := chain
	gone.Blocks = append(append([]bipadapter.Block(nil), chain.Blocks[:1]...), chain.Blocks[2:]...)
	require.Equal(t, []string{"", "format,link", "format"}, all(verify(t, chain.Format, write(t, gone), files)))
	swapped := chain
	swapped.Blocks = []bipadapter.Block{chain.Blocks[0], chain.Blocks[2], chain.Blocks[1], chain.Blocks[3]}
	verdicts := verify(t, chain.Format, write(t, swapped), files)
	require.Equal(t, []string{"", "format,link", "format,link", "link"}, all(verdicts))
	require.False(t, verdicts[2].Ordered)
	require.Contains(t, verdicts[2].Problems, "it is older than the block before, by 1m0s")
}

func all(verdicts []bipadapter.Verdict) (flawed []string) {
	for _, v := range verdicts {
		flawed = append(flawed, flaws(v))
	}
	return flawed
}

// TestVerifyChainReplays copies a block of another session, with all its hashes.
func TestVerifyChainReplays(t *testing.T) {
	earlier, files := made(bipadapter.VotingChain)
	chain := bipadapter.Chain{Format: earlier.Format, Name: "0008", Blocks: earlier.Blocks[:1:1]}
	chain.Add(time.Date(2026, 11, 30, 13, 0, 0, 0, time.UTC), "vote", "x", "", []string{"votes/x.json"}, []byte("x"))
	files["votes/x.json"] = &fstest.MapFile{Data: []byte("x")}
	verdicts := verify(t, chain.Format, write(t, chain), files, earlier)
	require.True(t, verdicts[0].OK(), "a block is right wherever it stands")
	require.Equal(t, "0007", verdicts[0].Replayed)
	require.Empty(t, verdicts[1].Replayed)
	require.Empty(t, verify(t, chain.Format, write(t, chain), files)[0].Replayed, "nobody said what was before")

	chain.Add(time.Date(2026, 11, 30, 14, 0, 0, 0, time.UTC), "vote", "y", "", []string{"votes/x.json"}, []byte("x"))
	require.Equal(t, "0008", verify(t, chain.Format, write(t, chain), files)[2].Replayed, "one ballot in two blocks")

	// A block of one BIP in the chain of another, in one file.
	one, files := made(bipadapter.BIP01Chain)
	other := one
	other.Name = "BIP-09"
	verdicts = verify(t, one.Format, write(t, one, other), files)
	require.Empty(t, verdicts[0].Replayed)
	require.Equal(t, one.Name, verdicts[len(one.Blocks)].Replayed)
}

func TestReadChainsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "chain: not JSON",
		"7":                                 "chain: not a JSON object",
		"{}":                                "chain: no chain",
		`{"chain":7}`:                       "chain: chain: not a JSON array",
		`{"chain":[7]}`:                     "chain: chain: block 0: not a JSON object",
		`{"chain":[{"index":1,"index":2}]}`: "chain: chain: block 0: a key is repeated",
		`{"chain":[],"chain":[]}`:           "chain: a key is repeated",
		`{"chain":[]} x`:                    "chain: text after",
		`{"minute_id":7,"chain":[]}`:        "chain: minute_id: want a string",
	} {
		_, err := bipadapter.ReadChains(bipadapter.VotingChain, strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
	for text, want := range map[string]string{
		"[]": "chain: not a JSON object", "{}": "chain: no chains", `{"chains":{}}`: "chain: chains: not a JSON array",
		`{"chains":[7]}`: "chain: chains[0]: not a JSON object", `{"chains":[{}]}`: "chain: chains[0]: no chain",
	} {
		_, err := bipadapter.ReadChains(bipadapter.BIP01Chain, strings.NewReader(text))
		require.ErrorContains(t, err, want, text)
	}
	_, err := bipadapter.ReadChains("bitcoin", strings.NewReader("{}"))
	require.EqualError(t, err, `chain: "bitcoin" is no format; there are "voting" and "bip-01"`)
	_, err = bipadapter.ReadChains(bipadapter.VotingChain, iotest.ErrReader(iotest.ErrTimeout))
	require.ErrorIs(t, err, iotest.ErrTimeout)
	_, err = bipadapter.ReadChains(bipadapter.VotingChain, strings.NewReader(strings.Repeat(" ", 5<<20)))
	require.ErrorContains(t, err, "more than the limit of 4194304")
	_, err = bipadapter.VerifyChain(bipadapter.VotingChain, strings.NewReader("{}"), nil)
	require.Error(t, err)

	chain, _ := made(bipadapter.VotingChain)
	other, _ := made(bipadapter.BIP01Chain)
	require.Error(t, bipadapter.WriteChains(&bytes.Buffer{}))
	require.Error(t, bipadapter.WriteChains(&bytes.Buffer{}, chain, chain))
	require.Error(t, bipadapter.WriteChains(&bytes.Buffer{}, other, chain))
	require.NoError(t, bipadapter.WriteChains(&bytes.Buffer{}, other, other))
}

// TestOddBlocks are read, and found wrong.
func TestOddBlocks(t *testing.T) {
	chain, files := made(bipadapter.VotingChain)
	var doc struct {
		Chain []map[string]any `json:"chain"`
	}
	for name, alter := range map[string]func(b map[string]any){
		"a key more":       func(b map[string]any) { b["vote"] = "x" },
		"a key less":       func(b map[string]any) { delete(b, "model") },
		"a text as index":  func(b map[string]any) { b["index"] = "2" },
		"a fraction":       func(b map[string]any) { b["index"] = 2.5 },
		"a number as text": func(b map[string]any) { b["timestamp"] = 7 },
		"null":             func(b map[string]any) { b["model"] = nil },
		"no model":         func(b map[string]any) { b["model"] = "" },
		"a file elsewhere": func(b map[string]any) { b["vote_file"] = "../../etc/passwd" },
		"a file with bars": func(b map[string]any) { b["vote_file"] = "votes|b" },
		"another format's": func(b map[string]any) { b["files"] = []string{"votes/b.json"} },
		"a separator":      func(b map[string]any) { b["model"] = "b|c" },
		"a time with zone": func(b map[string]any) { b["timestamp"] = "2026-11-30T12:01:00+01:00" },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, json.Unmarshal(write(t, chain), &doc))
			alter(doc.Chain[1])
			text, err := json.Marshal(doc)
			require.NoError(t, err)
			verdicts := verify(t, chain.Format, text, files)
			require.False(t, verdicts[1].Format)
			for _, j := range []int{0, 2, 3} {
				require.True(t, verdicts[j].OK(), verdicts[j].Problems)
			}
		})
	}
}
