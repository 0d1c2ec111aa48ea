package chaos

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"
)

// An Attempt is a request that a [Provider] saw.
type Attempt struct {
	Time    time.Time
	Path    string // without the query
	Model   string // that it asked for; empty if it could not be read
	N       int    // counts those at the model, from 1; 0 if there were 1,000 names before it
	Key     string // a fingerprint of the API key, as [Fingerprint] has it; empty without one
	Stream  bool
	Prefill int // bytes of the assistant's message at its end

	Fault  Fault // that was played, complete with its defaults
	Status int   // that was sent; 0 if none was, or not yet
	Tokens int   // events or parts with text that were sent, while it streams
	Left   bool  // the client left before the end
	Done   bool  // is over
}

// Fingerprint tells API keys apart without telling them: the first 8 hex digits
// of the SHA-256 of key.
func Fingerprint(key string) string {
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:4])
}

// keyOf returns the API key of a request, wherever it stands.
func keyOf(r *http.Request) string {
	if scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(key)
	}
	for _, name := range []string{"X-Api-Key", "X-Goog-Api-Key"} {
		if key := r.Header.Get(name); key != "" {
			return key
		}
	}
	return r.URL.Query().Get("key")
}

// remembered is how many attempts a provider remembers, and kept how many
// models it counts apart.
const remembered, kept = 10_000, 1_000

// A journal is what a provider saw, oldest first.
type journal struct {
	mu      sync.Mutex
	entries []*record
	counts  map[string]int
}

// A record is an attempt under way, guarded by its journal.
type record struct {
	journal *journal
	attempt Attempt
}

// begin notes an attempt.
func (j *journal) begin(a Attempt) *record {
	const longest = 200 // of a name that a client made up
	a.Path, a.Model = a.Path[:min(len(a.Path), longest)], a.Model[:min(len(a.Model), longest)]
	r := &record{journal: j, attempt: a}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, known := j.counts[a.Model]; known || len(j.counts) < kept {
		j.counts[a.Model]++
	}
	r.attempt.N = j.counts[a.Model]
	if len(j.entries) == remembered {
		j.entries = append(j.entries[:0:0], j.entries[remembered/2:]...)
	}
	j.entries = append(j.entries, r)
	return r
}

func (r *record) change(f func(a *Attempt)) {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	f(&r.attempt)
}

func (r *record) play(f Fault) { r.change(func(a *Attempt) { a.Fault = f }) }
func (r *record) status(s int) { r.change(func(a *Attempt) { a.Status = s }) }
func (r *record) token()       { r.change(func(a *Attempt) { a.Tokens++ }) }
func (r *record) leave()       { r.change(func(a *Attempt) { a.Left = true }) }
func (r *record) end()         { r.change(func(a *Attempt) { a.Done = true }) }

// Attempts returns what p saw, oldest first, those under way as they stand. Of
// more than 10,000 it forgets the oldest.
func (p *Provider) Attempts() []Attempt {
	p.journal.mu.Lock()
	defer p.journal.mu.Unlock()
	out := make([]Attempt, len(p.journal.entries))
	for i, r := range p.journal.entries {
		out[i] = r.attempt
	}
	return out
}
