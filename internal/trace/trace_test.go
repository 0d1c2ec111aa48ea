package trace

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

const rows = `TIMESTAMP,ContextTokens,GeneratedTokens
2026-01-05 09:00:00.0000000,374,44
2026-01-05 09:00:01.5000001,396,109
2026-01-05 09:00:03,0,0
`

var calls = []Call{{0, 374, 44}, {1500*time.Millisecond + 100, 396, 109}, {3 * time.Second, 0, 0}}

func zip(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(s))
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	for name, text := range map[string]string{
		"plain":            rows,
		"without last end": strings.TrimSuffix(rows, "\n"),
		"gzip":             zip(rows),
		"gzip in parts":    zip(rows[:50]) + zip(rows[50:]),
		"of Windows":       "\ufeff" + strings.ReplaceAll(rows, "\n", "\r\n"),
		"with a zone": Header + "\n2026-01-05 09:00:00.000000+00:00,374,44\n" +
			"2026-01-05 10:00:01.5000001+01:00,396,109\n2026-01-05 09:00:03Z,0,0\n",
		"unsorted": Header + "\n2026-01-05 09:00:01.5000001,396,109\n2026-01-05 09:00:03,0,0\n2026-01-05 09:00:00,374,44\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(strings.NewReader(text))
			require.NoError(t, err)
			require.Equal(t, calls, got)
			got, err = Read(iotest.OneByteReader(strings.NewReader(text)))
			require.NoError(t, err)
			require.Equal(t, calls, got)
		})
	}
}

func TestReadKeepsTheOrderOfEqualTimes(t *testing.T) {
	got, err := Read(strings.NewReader(Header + strings.Repeat("\n2026-01-05 09:00:01,1,1\n2026-01-05 09:00:01,2,2", 50)))
	require.NoError(t, err)
	require.Len(t, got, 100)
	for i, c := range got {
		require.Equal(t, Call{0, 1 + i%2, 1 + i%2}, c)
	}
}

func TestReadTimesFarApart(t *testing.T) {
	got, err := Read(strings.NewReader(Header + "\n9999-12-31 23:59:59,1,1\n0001-01-01 00:00:00,2,2\n"))
	require.NoError(t, err)
	require.Equal(t, []Call{{0, 2, 2}, {math.MaxInt64, 1, 1}}, got)
}

func TestReadErrors(t *testing.T) {
	third := func(s string) string {
		return Header + "\n2026-01-05 09:00:00,1,1\n" + s + "\n2026-01-05 09:00:00,1,1\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":           {"", "the trace is empty"},
		"header alone":      {Header + "\n", "the trace has no calls"},
		"gzip of nothing":   {zip(""), "the trace is empty"},
		"no header":         {"2026-01-05 09:00:00,1,1\n", `line 1: want the header TIMESTAMP,ContextTokens,GeneratedTokens, got "2026-01-05 09:00:00,1,1"`},
		"another header":    {"time,in,out\n", `line 1: want the header`},
		"not text":          {"\x00\x01\x02\xff\n", `line 1: want the header TIMESTAMP,ContextTokens,GeneratedTokens, got "\x00\x01\x02\xff"`},
		"a long header":     {strings.Repeat("x", 100), `got "` + strings.Repeat("x", 60) + `" …`},
		"endless line":      {strings.Repeat("x", 1<<20), "line 1: longer than 4096 bytes"},
		"endless row":       {third(strings.Repeat("x", 1<<20)), "line 3: longer than 4096 bytes"},
		"empty line":        {third(""), "line 3: empty"},
		"two columns":       {third("2026-01-05 09:00:00,1"), "line 3: want 3 columns, got 2"},
		"four columns":      {third("2026-01-05 09:00:00,1,1,1"), "line 3: want 3 columns, got 4"},
		"decimal comma":     {third("2026-01-05 09:00:00,5,1,1"), "line 3: want 3 columns, got 4"},
		"no time":           {third(",1,1"), `line 3: TIMESTAMP: want a time such as 2023-11-16 18:15:46.6805900, got ""`},
		"30 February":       {third("2026-02-30 09:00:00,1,1"), `line 3: TIMESTAMP`},
		"seconds of Unix":   {third("1700000000,1,1"), `line 3: TIMESTAMP`},
		"negative":          {third("2026-01-05 09:00:00,-1,1"), `line 3: ContextTokens: want a whole number, got "-1"`},
		"fraction":          {third("2026-01-05 09:00:00,1.5,1"), `line 3: ContextTokens: want a whole number, got "1.5"`},
		"space":             {third("2026-01-05 09:00:00,1, 1"), `line 3: GeneratedTokens: want a whole number, got " 1"`},
		"missing":           {third("2026-01-05 09:00:00,1,"), `line 3: GeneratedTokens: want a whole number, got ""`},
		"too many":          {third("2026-01-05 09:00:00,1,100000001"), `line 3: GeneratedTokens: "100000001" is more than 100000000`},
		"far too many":      {third("2026-01-05 09:00:00,1,99999999999999999999999"), `is more than 100000000`},
		"gzip cut":          {zip(rows)[:40], "gzip: unexpected EOF"},
		"gzip header cut":   {zip(rows)[:5], "line 1: gzip: unexpected EOF"},
		"gzip damaged":      {zip(rows)[:30] + "####" + zip(rows)[34:], "gzip: "},
		"gzip and the rest": {zip(rows) + "more than a header", "line 5: gzip: gzip: invalid header"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Read(strings.NewReader(c.text))
			require.Nil(t, got)
			require.ErrorContains(t, err, c.want)
			_, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 400)
		})
	}
}

func TestReadPassesOnErrors(t *testing.T) {
	broken := errors.New("the disk is broken")
	_, err := Read(io.MultiReader(strings.NewReader(rows), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	require.EqualError(t, err, "line 5: the disk is broken")
	_, err = Read(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
}

func TestRowsKeepsTheOrderOfTheFile(t *testing.T) {
	var got []int
	for row, err := range Rows(strings.NewReader(Header + "\n2026-01-05 09:00:09,9,0\n2026-01-05 09:00:01,1,0\n")) {
		require.NoError(t, err)
		got = append(got, row.Input)
	}
	require.Equal(t, []int{9, 1}, got)
}

// Who reads but the beginning does not pay for the rest.
func TestRowsMayBeLeft(t *testing.T) {
	text := strings.NewReader(Header + strings.Repeat("\n2026-01-05 09:00:01,1,1", 100_000))
	for range Rows(text) {
		break
	}
	require.Greater(t, text.Len(), 2_000_000)
}

func BenchmarkRead(b *testing.B) {
	text := Header + strings.Repeat("\n2026-01-05 09:00:01.1234567,1020,129", 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := Read(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
