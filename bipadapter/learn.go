package bipadapter

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Said is what a voter answered to a question.
type Said struct {
	Question string `json:"question"`
	Voter    string `json:"voter"`
	Answer   string `json:"answer"`
}

// LearnConfig configures a [History]. The zero value is ready to use.
type LearnConfig struct {
	// Keep is how many answers and truths a history holds. Beyond that it
	// forgets whole questions, the one asked first before others.
	Keep int `json:"keep" default:"100000" off:"no"`

	// Form gives answers that are the same one form; [Canonical].
	Form func(answer string) string `json:"-"`
}

// A History holds what voters answered, and what turned out to be right, and
// learns from it how much weight each should have. A voter's first answer to a
// question counts; others to it are dropped. It is safe for concurrent use.
//
// Weights do not change by themselves: what is learnt is data, to be put into
// voters between rounds by whoever decides that, on record.
type History struct {
	keep int
	form func(string) string

	mu        sync.Mutex
	asked     map[string]*asked
	order     []string // of asking
	held      int      // answers and truths
	dropped   int
	forgotten int
}

// asked is a question and what is known about it.
type asked struct {
	answers map[string]string // forms by voter
	truth   string
	known   bool
}

func (a *asked) size() int {
	if a.known {
		return len(a.answers) + 1
	}
	return len(a.answers)
}

// NewHistory returns an empty history.
func NewHistory(cfg LearnConfig) *History {
	if cfg.Keep <= 0 {
		cfg.Keep = 100_000
	}
	if cfg.Form == nil {
		cfg.Form = Canonical
	}
	return &History{keep: cfg.Keep, form: cfg.Form, asked: make(map[string]*asked)}
}

// Add adds answers.
func (h *History) Add(said ...Said) {
	for _, s := range said {
		form := h.form(s.Answer)
		h.mu.Lock()
		q := h.question(s.Question)
		if _, twice := q.answers[s.Voter]; twice {
			h.dropped++
		} else {
			q.answers[s.Voter] = form
			h.held++
			h.forget()
		}
		h.mu.Unlock()
	}
}

// Truth says what is right. Said again, the last one holds.
func (h *History) Truth(question, answer string) {
	form := h.form(answer)
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.question(question)
	if !q.known {
		h.held++
	}
	q.truth, q.known = form, true
	h.forget()
}

func (h *History) question(name string) *asked {
	q := h.asked[name]
	if q == nil {
		q = &asked{answers: make(map[string]string)}
		h.asked[name] = q
		h.order = append(h.order, name)
	}
	return q
}

func (h *History) forget() {
	for h.held > h.keep {
		h.held -= h.asked[h.order[0]].size()
		delete(h.asked, h.order[0])
		h.order = h.order[1:]
		h.forgotten++
	}
}

// Learned is what a history says about voters and answers.
type Learned struct {
	At      time.Time  `json:"at"`
	Model   LearnModel `json:"model"`
	Voters  []Learnt   `json:"voters"`  // by name
	Answers []Belief   `json:"answers"` // by question
	Unknown float64    `json:"unknown"` // weight of a voter of whom nothing is known

	// Options is how many answers a question seems to have: 2 where voters who
	// are wrong all say the same, more where they say different things.
	Options float64 `json:"options"`

	Said      int `json:"said"`      // answers that counted
	Known     int `json:"known"`     // questions whose truth is known
	Dropped   int `json:"dropped"`   // further answers of a voter to a question
	Forgotten int `json:"forgotten"` // questions beyond LearnConfig.Keep
}

// Learnt is what is known about a voter.
type Learnt struct {
	Voter string `json:"voter"`

	// Weight is [LogOdds] of Accuracy, as a voter's Weight takes it: the sum of
	// the weights behind an answer is what speaks for it if voters err
	// independently. A voter who is no better than chance has none, which is -1.
	// Nobody is counted against: who knows of it says the opposite of what he
	// wants.
	Weight float64 `json:"weight"`

	Accuracy float64 `json:"accuracy"` // drawn towards the mean of all by two answers' worth
	Answers  int     `json:"answers"`
	Known    int     `json:"known"` // of those, to questions whose truth is known
}

// Belief is what the answers to a question amount to.
type Belief struct {
	Question   string   `json:"question"`
	Answer     string   `json:"answer"`         // in the form by which answers are compared; "" for a tie
	Tied       []string `json:"tied,omitempty"` // the answers of a tie
	Confidence float64  `json:"confidence"`     // that the answer is right
}

// Weight returns the weight of a voter, under any spelling of its name that [Collapse]
// takes for the same, and Unknown if nothing is known of it.
func (l Learned) Weight(voter string) float64 {
	i := slices.IndexFunc(l.Voters, func(v Learnt) bool { return v.Voter == voter })
	if i < 0 {
		i = slices.IndexFunc(l.Voters, func(v Learnt) bool { return spelling(v.Voter) == spelling(voter) })
	}
	if i < 0 {
		return l.Unknown
	}
	return l.Voters[i].Weight
}

// From says where the weights come from, for the record.
func (l Learned) From() string {
	return fmt.Sprintf("learnt at %s by %s from %d answers to %d questions, %d of known truth",
		l.At.UTC().Format(time.RFC3339), l.Model, l.Said, len(l.Answers), l.Known)
}

// Learn learns from what the history holds, and dates that at. It is a function
// of the answers and truths alone: their order does not matter but for which of
// a voter's answers to a question came first. It takes time in proportion to the
// answers, some seconds for 100,000 of them, during which the history can be
// added to.
func (h *History) Learn(at time.Time) Learned {
	h.mu.Lock()
	c := newCrowd(h.asked)
	l := Learned{At: at, Said: c.said, Known: c.known, Dropped: h.dropped, Forgotten: h.forgotten}
	h.mu.Unlock()
	model, b := c.choose()
	l.Model = model
	l.Options = c.alternatives(b)
	l.Voters, l.Unknown = c.weigh(b, l.Options)
	l.Answers = c.beliefs(b)
	return l
}
