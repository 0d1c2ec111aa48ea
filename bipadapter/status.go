package bipadapter

import (
	"fmt"
	"slices"
	"time"
)

// Status is what an adapter can do now.
type Status struct {
	Ready  bool   // a vote by Config.Rule can begin, and have its quorum if all who can be asked answer
	Reason string // why not

	Voters    int // eligible ones
	Available int // of them, whose model is bound and held by nobody
	Quorum    int

	Emergency bool  // one is declared, and has not ended
	Reviews   []Due // of emergencies, and when
	Rounds    int   // interrupted ones that can go on, or whose decision nobody has heard

	SuccessRate float64       // of the voters' models over five minutes; 1 when there were no calls
	P95         time.Duration // of their attempts, of the slowest model
}

const statusOver = 5 * time.Minute

// Status says whether operations can run, and why not.
func (a *Adapter[Req, Resp]) Status() Status {
	s := Status{SuccessRate: 1}
	a.mu.Lock()
	s.Emergency = a.emergency.After(a.wall())
	s.Reviews = slices.Clone(a.reviews)
	for _, r := range a.interrupted {
		if r.Opening.Deadline.After(a.wall()) {
			s.Rounds++
		}
	}
	a.mu.Unlock()
	voters, err := a.voters()
	if err != nil {
		s.Reason = err.Error()
		return s
	}
	rule := a.cfg.Rule
	var calls, failures int64
	for _, v := range voters {
		if !rule.votes(v.Role) {
			continue
		}
		s.Voters++
		for _, m := range a.client.Models() {
			if m.ID() != v.Model {
				continue
			}
			if m.Available() {
				s.Available++
			}
			stats := m.Stats(statusOver)
			calls += stats.Calls
			failures += stats.Failures
			s.P95 = max(s.P95, stats.P95)
		}
	}
	if calls > 0 {
		s.SuccessRate = 1 - float64(failures)/float64(calls)
	}
	count, err := rule.Count(Poll{Voters: voters})
	s.Quorum = count.Quorum
	if err == nil {
		err = a.trouble()
	}
	switch need := max(s.Quorum, rule.Voters, 1); {
	case err != nil:
		s.Reason = err.Error()
	case a.client.Pool().Draining():
		s.Reason = "the pool is draining"
	case s.Voters < need:
		s.Reason = fmt.Sprintf("%d eligible voters, and the rule wants %d", s.Voters, need)
	case s.Available < need:
		s.Reason = fmt.Sprintf("%d of %d voters can be asked, and it takes %d", s.Available, s.Voters, need)
	default:
		s.Ready = true
	}
	return s
}

// trouble returns why no round could be written down, or nil.
func (a *Adapter[Req, Resp]) trouble() error {
	var err error
	if log := a.cfg.Log; log != nil && log.mu.TryLock() { // else it is being written, which may take its time
		if log.file.failed != nil {
			err = fmt.Errorf("log: %w", log.file.failed)
		}
		log.mu.Unlock()
	}
	if err == nil && a.journal != nil && a.journal.mu.TryLock() {
		err = a.journal.trouble()
		a.journal.mu.Unlock()
	}
	return err
}
