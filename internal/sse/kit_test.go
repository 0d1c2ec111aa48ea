package sse

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// outcome is all that a Reader says of a stream.
type outcome struct {
	events     []Event
	keepAlives int
	err        error
}

func readAll(src io.Reader, cfg Config) (o outcome) {
	r := NewReader(src, cfg)
	for {
		ev, err := r.Next()
		if err != nil {
			o.err, o.keepAlives = err, r.Stats().KeepAlives
			return o
		}
		ev.Data = append([]byte{}, ev.Data...)
		o.events = append(o.events, ev)
	}
}

// model reads a whole stream the slow way, after the text of the standard.
func model(stream []byte) (o outcome) {
	s := strings.TrimPrefix(string(stream), "\ufeff")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	lines := strings.Split(s, "\n")
	rest := lines[len(lines)-1]
	var (
		ev               Event
		data             strings.Builder
		fields, comments int
	)
	for _, line := range lines[:len(lines)-1] {
		switch {
		case line == "":
			if data.Len() > 0 {
				ev.Data = []byte(strings.TrimSuffix(data.String(), "\n"))
				o.events = append(o.events, ev)
			} else if comments == 0 {
				o.keepAlives++
			}
			data.Reset()
			ev.Name, fields, comments = "", 0, 0
			continue
		case line[0] == ':':
			o.keepAlives++
			comments++
			continue
		}
		fields++
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data.WriteString(value + "\n")
		case "event":
			ev.Name = value
		case "id":
			if !strings.Contains(value, "\x00") {
				ev.ID = value
			}
		case "retry":
			if strings.Trim(value, "0123456789") == "" {
				if ms, err := strconv.ParseInt(value, 10, 64); err == nil && ms <= 9_223_372_036_854 {
					ev.Retry = time.Duration(ms) * time.Millisecond
				}
			}
		}
	}
	o.err = io.EOF
	if fields > 0 || rest != "" && rest[0] != ':' {
		o.err = io.ErrUnexpectedEOF
	}
	return o
}

// chunks hands out its rest in pieces of random length, with pauses, and often
// gives the end together with the last bytes.
type chunks struct {
	rest []byte
	rnd  *rand.Rand
	most int
}

func newChunks(b []byte, seed uint64, most int) *chunks {
	return &chunks{b, rand.New(rand.NewPCG(seed, 1)), most}
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := min(c.rnd.IntN(c.most+1), len(p), len(c.rest))
	copy(p, c.rest[:n])
	c.rest = c.rest[n:]
	if len(c.rest) == 0 && c.rnd.IntN(2) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// loop repeats a text for ever.
type loop struct {
	text string
	pos  int
}

func (l *loop) Read(p []byte) (n int, _ error) {
	for n < len(p) {
		m := copy(p[n:], l.text[l.pos:])
		n += m
		l.pos = (l.pos + m) % len(l.text)
	}
	return n, nil
}

// randomStream is made of what streams are made of, and of what breaks them.
func randomStream(rnd *rand.Rand) []byte {
	parts := []string{
		"data", "data: ", "data:", "data: {\"a\":1}", "event: ", "event:ping", "id: 1", "id:\x00", "id", "retry: 1500", "retry: -1",
		"retry: 99999999999999999999", ": keep-alive", ":", " ", "\n", "\n", "\n\n", "\r", "\r\n", "\r\n\r\n", "\r\r", "x", "unknown: y",
		"\xff\xfe", "\x00", "\ufeff", "é", "DATA: z", "data : w", strings.Repeat("long ", 40), strings.Repeat("n", chunk-3),
	}
	var b bytes.Buffer
	for range rnd.IntN(60) {
		b.WriteString(parts[rnd.IntN(len(parts))])
	}
	return b.Bytes()
}
