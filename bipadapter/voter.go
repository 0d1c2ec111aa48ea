package bipadapter

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// A Role is what a voter may do.
type Role string

// The roles of a hive.
const (
	General      Role = "general"      // votes and vetoes
	Collaborator Role = "collaborator" // votes
	Master       Role = "master"       // coordinates, and never votes
)

// A Voter is one identity with one ballot.
type Voter struct {
	// Name is what the voter is called in casts and counts; Model.
	Name string `json:"name,omitempty"`

	// Model is the ID of the pool's model that answers for the voter.
	Model string `json:"model,omitempty"`

	// Aliases are other names of the same model. Two voters that share a name,
	// a model or an alias are one: see [Collapse].
	Aliases []string `json:"aliases,omitempty"`

	Role Role `json:"role,omitempty" default:"general" oneof:"general collaborator master"`

	// Weight is what the voter's ballot weighs. Negative means nothing: the
	// voter counts for quorums and never for a threshold. The weight that counts
	// is the decimal number that the field is printed as.
	Weight float64 `json:"weight,omitempty" default:"1" min:"1e-9" max:"1e9"`

	// From says where the weight comes from.
	From string `json:"from,omitempty"`

	// Group is what makes voters err together: a provider, a family of models,
	// a region. See [Rule.GroupCap] and [Rule.Faults].
	Group string `json:"group,omitempty"`

	// PublicKey is the Ed25519 key, in base64, of whoever operates the voter.
	// Its ballots must be signed then.
	PublicKey string `json:"publicKey,omitempty"`
}

const (
	maxVoters = 250
	maxName   = 128 // bytes
)

// Collapse returns voters with their defaults filled in, in the order given,
// those that are the same model merged into the first of them, as one model
// answers once. Two are the same if they share a name, a model or an alias;
// letter case, spaces, dots, slashes and underscores make no difference to that.
// What Collapse returns it leaves as it is.
//
// The error joins a [*resilience.ConfigError] for each thing wrong: a voter
// without a name, a name that is not printable text of at most 128 bytes,
// a weight or a role out of range, a key that is none, the same voter with two
// roles, weights, groups or keys, and more than 250 voters.
func Collapse(voters []Voter) ([]Voter, error) {
	if len(voters) > maxVoters {
		return nil, &resilience.ConfigError{Path: "voters", Problem: fmt.Sprintf("%d are more than %d", len(voters), maxVoters)}
	}
	errs := problems(settings.Check("voters", voters))
	voters = slices.Clone(voters)
	for i := range voters {
		voters[i].Aliases = slices.Clone(voters[i].Aliases)
	}
	settings.Fill(&voters)
	list := roll{gone: map[int]bool{}, at: map[string]int{}}
	for i, v := range voters {
		path := fmt.Sprintf("voters[%d]", i)
		if v.Name == "" {
			v.Name = v.Model
		}
		if v.Weight < 0 {
			v.Weight = -1
		}
		errs = append(errs, v.check(path)...)
		list.add(v, func(problem string) {
			errs = append(errs, &resilience.ConfigError{Path: path, Problem: problem})
		})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return list.left(), nil
}

func (v Voter) check(path string) (errs []error) {
	fail := func(format string, args ...any) {
		errs = append(errs, &resilience.ConfigError{Path: path, Problem: fmt.Sprintf(format, args...)})
	}
	if v.Name == "" {
		fail("neither a name nor a model; say one")
	}
	for _, name := range v.names() {
		if !plain(name) || spelling(name) == "" {
			fail("a name must be printable text of 1 to %d bytes, not %s", maxName, clip(name))
		}
	}
	if v.Group != "" && !plain(v.Group) {
		fail("a group must be printable text of at most %d bytes, not %s", maxName, clip(v.Group))
	}
	if v.PublicKey != "" {
		key, err := base64.StdEncoding.DecodeString(v.PublicKey)
		if err != nil || len(key) != ed25519.PublicKeySize {
			fail("publicKey is not an Ed25519 public key: want %d bytes in base64", ed25519.PublicKeySize)
		}
	}
	return errs
}

// names returns all names of v that are set.
func (v Voter) names() []string {
	names := []string{v.Name}
	if v.Model != "" {
		names = append(names, v.Model)
	}
	return append(names, v.Aliases...)
}

// A roll is a list of voters under construction.
type roll struct {
	voters []Voter
	gone   map[int]bool   // merged into one before
	at     map[string]int // by spelling
}

// add adds v, or merges it with all voters that it is the same as.
func (l *roll) add(v Voter, fail func(problem string)) {
	first := len(l.voters)
	var others []int
	for _, name := range v.names() {
		if i, ok := l.at[spelling(name)]; ok {
			first, others = min(first, i), append(others, i)
		}
	}
	if first == len(l.voters) {
		l.voters = append(l.voters, v)
	} else {
		l.merge(first, v, fail)
		slices.Sort(others)
		for _, i := range slices.Compact(others) {
			if i != first {
				l.merge(first, l.voters[i], fail)
				l.gone[i] = true
			}
		}
	}
	for _, name := range l.voters[first].names() {
		l.at[spelling(name)] = first
	}
}

func (l *roll) merge(into int, v Voter, fail func(problem string)) {
	u := &l.voters[into]
	if u.Role != v.Role || u.Weight != v.Weight || u.Group != v.Group || u.PublicKey != v.PublicKey {
		fail(fmt.Sprintf("%s is the same voter as %s, with another role, weight, group or key; keep one of them", clip(v.Name), clip(u.Name)))
	}
	for _, name := range v.names() {
		if name != u.Name && name != u.Model && !slices.Contains(u.Aliases, name) {
			u.Aliases = append(u.Aliases, name)
		}
	}
}

// left returns the voters that were not merged into others.
func (l *roll) left() (voters []Voter) {
	for i, v := range l.voters {
		if !l.gone[i] {
			voters = append(voters, v)
		}
	}
	return voters
}

// Find returns the voter that goes by name, by the rules of [Collapse].
func Find(voters []Voter, name string) (Voter, bool) {
	name = spelling(name)
	for _, v := range voters {
		if slices.ContainsFunc(v.names(), func(own string) bool { return spelling(own) == name }) {
			return v, true
		}
	}
	return Voter{}, false
}

// spelling returns name without what people spell differently.
func spelling(name string) string {
	name = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '.', '_', '/':
			return '-'
		}
		return unicode.ToLower(r)
	}, name)
	return strings.Trim(name, "-")
}

// plain reports whether s is printable text of 1 to maxName bytes.
func plain(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// clip returns a foreign name, quoted and bounded.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q…", strings.ToValidUTF8(s[:most], ""))
}

// problems returns what settings found as errors of this package.
func problems(found []settings.Problem) (errs []error) {
	for _, p := range found {
		errs = append(errs, &resilience.ConfigError{Path: p.Path, Problem: p.Problem})
	}
	return errs
}
