package bipadapter

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// A vector is a set of records and what they come to. Signed says that only a
// signature tells.
type vector struct {
	Files   []string `json:"files"`
	Finding Finding  `json:"finding"`
	Reason  string   `json:"reason"`
	Signed  bool     `json:"signed,omitempty"`
}

type vectors struct {
	Log     string   `json:"log"`
	Witness string   `json:"witness"`
	Vectors []vector `json:"vectors"`
}

// build makes the vectors and their files.
func build(t *testing.T) (map[string][]byte, vectors) {
	t.Helper()
	k, l := newKit(), newLog(t)
	w := newWatcher(l.key.vkey, func() time.Time { return k.now })
	l.SetWitness(w)
	files, first := map[string][]byte{}, l.key.vkey
	var all vectors
	add := func(signed bool, names ...string) {
		var texts [][]byte
		for _, name := range names {
			texts = append(texts, files[name])
		}
		f, reason := verify(Keys{[]string{first}, []string{w.vkey()}}, texts...)
		all.Vectors = append(all.Vectors, vector{names, f, reason, signed})
	}
	for _, c := range []struct {
		name  string
		rule  Rule
		words string
	}{
		{"majority", Rule{Name: "m"}, "y y y n a"},
		{"majority-tie", Rule{}, "y y n n a"},
		{"majority-standings", Rule{}, "y y y y y x m l 2 o"},
		{"quorum", Rule{Quorum: 0.8}, "y y y x x"},
		{"plurality", Rule{Method: Plurality}, "red red blue green a"},
		{"plurality-unheard", Rule{Method: Plurality}, "red red blue l"},
		{"supermajority", Rule{Method: Supermajority, Threshold: 0.6666666667}, "red red blue"},
		{"unanimous", Rule{Method: Unanimous, AbstainOut: true}, "y y y a"},
		{"approval", Rule{Method: Approval}, "y y y n x"},
		{"approval-veto", Rule{Method: Approval, Veto: Veto{Reject: 0.2}}, "y y y y V"},
		{"scores", Rule{Method: Scores, Threshold: 0.7, Topics: map[string]float64{"security": 0.9}}, "8 9.5 7.25 6 8"},
		{"scores-hold", Rule{Method: Scores, Hold: 0.4}, "5 5 5 6 a"},
		{"scores-veto", Rule{Method: Scores, Veto: Veto{Revise: 0.3}}, "9 9 9 1! 2!"},
	} {
		files[c.name+".json"] = textOf(t, k.round(t, l, "BIP "+c.name, c.rule, c.words))
		add(false, c.name+".json")
	}
	o, papers := k.open("BIP aborted", Rule{}, "y y y")
	_, err := l.begin(&o)
	require.NoError(t, err)
	r := k.fill(o, papers, "x x x")
	r.Closing.Count = Count{Outcome: Aborted, Reason: "the process was stopped"}
	require.NoError(t, conclude(r))
	require.NoError(t, l.end(r))
	files["aborted.json"] = textOf(t, r)
	add(false, "aborted.json")
	files["again-1.json"] = textOf(t, k.round(t, l, "BIP again", Rule{}, "y n n"))
	files["again-2.json"] = textOf(t, k.round(t, l, "BIP again", Rule{}, "y y n"))
	add(false, "again-1.json", "again-2.json")
	add(false, "again-2.json")

	files["bad-byte.json"] = bytes.Replace(files["majority.json"], []byte(`"openedBy":"ci"`), []byte(`"openedBy":"di"`), 1)
	add(false, "bad-byte.json")
	k.rounds += 100
	files["bad-outcome.json"] = textOf(t, k.changed(t, l, "BIP bad outcome", Rule{}, "y y n", nil, func(r *Record) { r.Closing.Outcome, r.Closing.Winner = Refused, Reject }))
	add(false, "bad-outcome.json")
	files["bad-voter.json"] = textOf(t, k.changed(t, l, "BIP bad voter", Rule{}, "y y n", nil, func(r *Record) { r.Evidence = r.Evidence[:2]; _ = conclude(r) }))
	add(false, "bad-voter.json")
	files["bad-paper.json"] = textOf(t, k.changed(t, l, "BIP bad paper", Rule{}, "y y n", func(o *Opening) { o.Papers["a"] = Digest{} }, nil))
	add(false, "bad-paper.json")
	other, err := OpenLog(t.TempDir(), logName, keyOf(2))
	require.NoError(t, err)
	defer other.Close()
	files["bad-key.json"] = textOf(t, k.round(t, other, "BIP bad key", Rule{}, "y y n"))
	add(true, "bad-key.json")
	all.Log, all.Witness = first, w.vkey()

	files["again-before.json"] = textOf(t, k.round(t, l, "BIP rotated", Rule{}, "y y n"))
	require.NoError(t, l.Rotate(keyOf(3)))
	w.log = l.key.vkey
	files["again-after.json"] = textOf(t, k.round(t, l, "BIP rotated", Rule{}, "y n n"))
	add(false, "again-before.json", "again-after.json")
	index, err := json.MarshalIndent(all, "", "\t")
	require.NoError(t, err)
	files["index.json"] = append(index, '\n')
	return files, all
}

// TestVectors compares the files in testdata with what this package writes: what
// others have built on may not change. With -update it writes them.
func TestVectors(t *testing.T) {
	files, all := build(t)
	dir := filepath.Join("testdata", "records")
	if *update {
		require.NoError(t, os.MkdirAll(dir, 0o750))
		for name, text := range files {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		}
		for i, name := range []string{"majority-standings.json", "scores-veto.json", "aborted.json", "bad-outcome.json"} {
			corpus := filepath.Join("testdata", "fuzz", "FuzzVerify")
			require.NoError(t, os.MkdirAll(corpus, 0o750))
			require.NoError(t, os.WriteFile(filepath.Join(corpus, "record"+strconv.Itoa(i)), []byte("go test fuzz v1\n[]byte("+strconv.Quote(string(files[name]))+")\n"), 0o600))
		}
	}
	for name, text := range files {
		there, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, string(text), string(there), name)
	}
	for _, v := range all.Vectors {
		want := Verified
		if strings.HasPrefix(v.Files[0], "bad-") || len(v.Files) == 1 && v.Files[0] == "again-2.json" {
			want = Failed
		}
		require.Equal(t, want, v.Finding, "%v: %s", v.Files, v.Reason)
	}
	t.Logf("published: vectors: measured %d of %d as they should be, reference –, target all", len(all.Vectors), len(all.Vectors))
}

// python runs the recount in another language.
func python(t *testing.T, files ...string) (string, error) {
	t.Helper()
	name, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3")
	}
	out, err := exec.CommandContext(t.Context(), name, append([]string{"-B", filepath.Join("testdata", "recount.py")}, files...)...).CombinedOutput()
	return string(out), err
}

// TestRecountInPython counts the vectors again in another language.
func TestRecountInPython(t *testing.T) {
	_, all := build(t)
	for _, v := range all.Vectors {
		if v.Signed {
			continue
		}
		var paths []string
		for _, name := range v.Files {
			paths = append(paths, filepath.Join("testdata", "records", name))
		}
		out, err := python(t, paths...)
		if v.Finding == Failed {
			require.Error(t, err, "%v: %s", v.Files, out)
			require.True(t, strings.HasPrefix(out, "FAILED "), "%v: %s", v.Files, out)
			continue
		}
		require.NoError(t, err, "%v: %s", v.Files, out)
		require.True(t, strings.HasPrefix(out, "RECOUNTED"), "%v: %s", v.Files, out)
	}
}

// TestRecountsAgree has polls of any kind counted in both languages: 200 of them, or
// with -long 5,000.
func TestRecountsAgree(t *testing.T) {
	n := 200
	if *Long {
		n = 5000
	} else if testing.Short() {
		n = 20
	}
	k, l, dir := newKit(), newLog(t), t.TempDir()
	random := rand.New(rand.NewPCG(5, 6))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	maybe := func(x float64) float64 { return x * float64(random.IntN(2)) }
	var files []string
	var want []string
	for i := range n {
		rule := Rule{Method: Method(pick("plurality", "majority", "supermajority", "approval", "scores", "unanimous")), AbstainOut: random.IntN(2) == 0}
		rule.Quorum, rule.Ballots = maybe(0.5), random.IntN(3)
		if rule.decides() {
			rule.Veto = Veto{Revise: maybe(0.2), Reject: maybe(0.4)}
			rule.Hold = maybe(0.4)
		} else if rule.Method != Unanimous {
			rule.Threshold = maybe([]float64{1.0 / 3, 0.6666666667, 0.6666666676, 0.3333333343}[i%4])
		}
		var words []string
		for range 1 + random.IntN(6) {
			switch {
			case rule.Method == Scores:
				words = append(words, pick("8", "9.5", "6", "7.25", "1!", "2!", "x", "m", "l", "2", "o", "a"))
			case rule.decides() || i%2 == 0:
				words = append(words, pick("y", "y", "y", "n", "V", "a", "x", "m", "l", "2", "o"))
			default:
				words = append(words, pick("red", "red", "blue", "green", "a", "x", "m"))
			}
		}
		r := k.changed(t, l, fmt.Sprintf("BIP-%d", i), rule, strings.Join(words, " "), func(o *Opening) {
			for i := range o.Voters {
				o.Voters[i].Weight = []float64{0, 1, 1, 0.5, 2.25}[random.IntN(5)]
				o.Voters[i].Role = Role(pick("general", "general", "collaborator"))
			}
		}, nil)
		files, want = append(files, filepath.Join(dir, fmt.Sprintf("%d.json", i))), append(want, string(r.Closing.Outcome))
		text := textOf(t, r)
		require.NoError(t, os.WriteFile(files[i], text, 0o600))
		f, reason := verify(Keys{}, text)
		require.Equal(t, SelfAttested, f, reason)
	}
	out, err := python(t, files...)
	require.NoError(t, err, "%s", out)
	require.Equal(t, "RECOUNTED "+strings.Join(want, ", ")+"\n", out)
	outcomes := map[string]int{}
	for _, o := range want {
		outcomes[o]++
	}
	require.GreaterOrEqual(t, len(outcomes), 4, "%v", outcomes)
	t.Logf("published: recounts: measured %d of %d agree, reference –, target all", n, n)
}
