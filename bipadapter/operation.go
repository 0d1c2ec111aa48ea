package bipadapter

import (
	"cmp"
	"time"

	"github.com/cmmv-hive/resilience"
)

// OperationType is a step of the BIP process.
type OperationType string

// The steps. Voting and Consensus hold a vote, the others ask one model.
const (
	Validation     OperationType = "validation"
	Voting         OperationType = "voting"
	Consensus      OperationType = "consensus"
	Implementation OperationType = "implementation"
	Review         OperationType = "review"
	Analysis       OperationType = "analysis"
)

// An Operation is a piece of work on a proposal.
type Operation struct {
	Type     OperationType
	BIP      string   // what it is about, such as "BIP-03"; rounds are numbered by it
	Topic    string   // see [Rule.Topics]
	Proposal []byte   // its text; a record binds votes to its digest
	Options  []string // what can be voted for; approve and reject

	Model    string              // of an operation without a vote: a name or an ID; any
	Priority resilience.Priority // by Type
	Timeout  time.Duration       // of a model's answer; by Type

	By        string // who opens a round, for its record; Config.Operator
	Authority string // by which; "configuration"
}

// A TypeConfig is how operations of one type go. A zero field means what the type has
// by default:
//
//	type            priority  timeout  attempts  vote
//	validation      normal    10s      3         no
//	voting          high      30s      4         Config.Rule
//	consensus       high      45s      4         Config.Rule
//	implementation  normal    1m       3         no
//	review          low       20s      3         no
//	analysis        low       15s      3         no
type TypeConfig struct {
	Priority *resilience.Priority `json:"priority,omitempty"`
	Timeout  time.Duration        `json:"timeout" min:"1ms" max:"24h" off:"no"`
	Attempts int                  `json:"attempts" max:"100" off:"no"` // the first included
	Rule     *Rule                `json:"rule,omitempty"`              // Execute holds a vote by it
}

type manner struct {
	priority resilience.Priority
	timeout  time.Duration
	attempts int
	votes    bool
}

var manners = map[OperationType]manner{
	Validation:     {resilience.Normal, 10 * time.Second, 3, false},
	Voting:         {resilience.High, 30 * time.Second, 4, true},
	Consensus:      {resilience.High, 45 * time.Second, 4, true},
	Implementation: {resilience.Normal, time.Minute, 3, false},
	Review:         {resilience.Low, 20 * time.Second, 3, false},
	Analysis:       {resilience.Low, 15 * time.Second, 3, false},
}

// options are those of the calls of op.
func (s *setup) options(op Operation) resilience.CallOptions {
	m, c := manners[op.Type], s.cfg.Types[op.Type]
	opts := resilience.CallOptions{
		Op: "bip." + string(op.Type), Model: op.Model, Priority: m.priority,
		Timeout: cmp.Or(op.Timeout, c.Timeout, m.timeout), Attempts: cmp.Or(c.Attempts, m.attempts),
	}
	if c.Priority != nil {
		opts.Priority = *c.Priority
	}
	opts.Priority = cmp.Or(op.Priority, opts.Priority)
	return opts
}

// rule returns the rule that operations of a type vote by, and whether they do
// unasked.
func (s *setup) rule(t OperationType) (Rule, bool) {
	if r := s.cfg.Types[t].Rule; r != nil {
		return r.clone(), true
	}
	return s.cfg.Rule.clone(), manners[t].votes
}

// check returns what is wrong with op.
func (op Operation) check() error {
	fail := func(field, problem string) error {
		return &resilience.ConfigError{Path: "operation." + field, Problem: problem}
	}
	switch _, ok := manners[op.Type]; {
	case !ok:
		return fail("type", clip(string(op.Type))+" is none; want validation, voting, consensus, implementation, review or analysis")
	case !plain(op.BIP):
		return fail("bip", "want its name, printable text of 1 to 128 bytes, such as BIP-03")
	case op.Topic != "" && !plain(op.Topic):
		return fail("topic", "want printable text of at most 128 bytes")
	case op.By != "" && !plain(op.By):
		return fail("by", "want a name, printable text of at most 128 bytes")
	case op.Authority != "" && !plain(op.Authority):
		return fail("authority", "want printable text of at most 128 bytes, such as minutes 0005")
	case op.Timeout < 0:
		return fail("timeout", "is negative")
	case op.Priority < resilience.Low || op.Priority > resilience.Critical:
		return fail("priority", "is none; want low, normal, high or critical")
	}
	return nil
}
