package failoverbench

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

// A Question is a request.
type Question struct {
	Model     string
	Fallbacks []string
	Stream    bool
}

// An Answer is what a client got.
type Answer struct {
	Text   string
	Model  string // the last that was named
	Tokens int    // of the usage
	IDs    []string
	Roles  int    // how often the answer began
	Failed string // the error that was sent, as it was
	Broke  error  // what was no clean end
	Took   time.Duration
}

// Read takes in an answer in JSON, or an event of one that streams.
func (a *Answer) Read(data []byte) error {
	var doc struct {
		ID      string `json:"id"`
		Model   string `json:"model"`
		Choices []struct {
			Message struct{ Content string }       `json:"message"`
			Delta   struct{ Role, Content string } `json:"delta"`
		} `json:"choices"`
		Usage struct {
			Tokens int `json:"total_tokens"`
		} `json:"usage"`
		Error json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if doc.Error != nil {
		a.Failed = string(doc.Error)
	}
	if doc.ID != "" && !slices.Contains(a.IDs, doc.ID) {
		a.IDs = append(a.IDs, doc.ID)
	}
	a.Model, a.Tokens = cmp.Or(doc.Model, a.Model), cmp.Or(doc.Usage.Tokens, a.Tokens)
	for _, c := range doc.Choices {
		a.Text += c.Message.Content + c.Delta.Content
		if c.Delta.Role != "" {
			a.Roles++
		}
	}
	return nil
}

// Played is a scenario as its caller and its provider saw it.
type Played struct {
	Began   time.Time
	At      int // once
	Answers []Answer
	Primary []time.Time // attempts at it
	Healthy Answer      // afterwards
	Text    string      // of a healthy answer
}

// Play asks as often at once as it says, one series after the other, and then
// for a healthy answer, whose text is known. Attempts tells when a model was
// asked.
func (s Scenario) Play(at int, text string, stream bool, ask func(Question) Answer, attempts func(model string) []time.Time) Played {
	p := Played{Began: time.Now(), At: at, Text: text}
	for i := range max(s.calls, 1) {
		time.Sleep(time.Until(p.Began.Add(time.Duration(i) * s.every)))
		answers := make([]Answer, at)
		var all sync.WaitGroup
		for j := range answers {
			all.Go(func() {
				began := time.Now()
				answers[j] = ask(Question{s.Primary(), []string{cmp.Or(s.fallback, "fb-ok")}, stream})
				answers[j].Took = time.Since(began)
			})
		}
		all.Wait()
		p.Answers = append(p.Answers, answers...)
	}
	p.Primary = attempts(s.Primary())
	p.Healthy = ask(Question{"fb-ok", nil, stream})
	return p
}

// Outage counts the attempts in S15's outage, and says when the next one came
// after it.
func (p Played) Outage() (meanwhile int, after time.Duration) {
	for _, at := range p.Primary {
		if since := at.Sub(p.Began); since < time.Minute {
			meanwhile++
		} else if after == 0 {
			after = since - time.Minute
		}
	}
	return meanwhile, after
}
