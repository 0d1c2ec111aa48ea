package resilience

// A Kind says what went wrong, and with it what to do about it. Kinds are
// errors, so that errors.Is(err, resilience.RateLimited) works, and an error
// that wraps one has it:
//
//	fmt.Errorf("%w: the model refused", resilience.Filtered)
//
// The zero Kind means success; it is never returned as an error. Every feature
// goes by this table:
//
//	kind          same model again                 elsewhere                        against the model  holds
//	Canceled      no                               no                               no
//	TimedOut      only if nothing else is left     yes                              yes
//	RateLimited   waited out if ≤ 5 s and it fits  yes                              no                 limit, until the reset
//	Overloaded    after backoff                    yes                              yes
//	Unreachable   once, quickly                    yes                              yes
//	Unauthorized  no                               yes                              no                 credential
//	QuotaSpent    no                               yes                              no                 quota
//	NotFound      no                               yes                              no                 health
//	Invalid       no                               no at the first model *          no
//	TooLong       no                               larger windows only              no
//	Filtered      no                               only where the operation allows  no
//	Malformed     with Hooks.Revise                yes                              quality only
//	Truncated     before any text                  yes                              yes
//	Rejected      no                               yes                              no
//	Unknown       no                               once                             lightly
//
// * After a failure of another kind, refusals of ours aside, the call goes on and
// keeps the first kind.
type Kind uint8

// The kinds of failure.
const (
	Canceled     Kind = iota + 1 // by the caller, or past the caller's own deadline
	TimedOut                     // by this package's timers, or by the client's own
	RateLimited                  // too much for now
	Overloaded                   // 529, 503, "degraded"
	Unreachable                  // refused, reset, DNS, other 5xx
	Unauthorized                 // key, plan or region
	QuotaSpent                   // what was paid for is used up
	NotFound                     // no such model, or retired
	Invalid                      // the request is wrong
	TooLong                      // exceeds the context window
	Filtered                     // refused by a content filter
	Malformed                    // the answer is no good
	Truncated                    // the answer broke off
	Rejected                     // refused here: breaker, hold, drain
	Unknown                      // anything else
)

// rule is one row of the table.
type rule struct {
	name                      string
	retry, elsewhere, against bool
	hold                      HoldBy
	status                    int // for HTTPStatus
}

// rule returns the row of k, that of Unknown for a value that is no kind.
func (k Kind) rule() rule {
	switch k {
	case 0:
		return rule{name: "ok", status: 200}
	case Canceled:
		return rule{name: "canceled", status: 499}
	case TimedOut:
		return rule{name: "timed_out", retry: true, elsewhere: true, against: true, status: 504}
	case RateLimited:
		return rule{name: "rate_limited", retry: true, elsewhere: true, hold: HoldLimit, status: 429}
	case Overloaded:
		return rule{name: "overloaded", retry: true, elsewhere: true, against: true, status: 503}
	case Unreachable:
		return rule{name: "unreachable", retry: true, elsewhere: true, against: true, status: 502}
	case Unauthorized:
		return rule{name: "unauthorized", elsewhere: true, hold: HoldCredential, status: 502}
	case QuotaSpent:
		return rule{name: "quota_spent", elsewhere: true, hold: HoldQuota, status: 503}
	case NotFound:
		return rule{name: "not_found", elsewhere: true, hold: HoldHealth, status: 502}
	case Invalid:
		return rule{name: "invalid", status: 400}
	case TooLong:
		return rule{name: "too_long", elsewhere: true, status: 400}
	case Filtered:
		return rule{name: "filtered", status: 400}
	case Malformed:
		return rule{name: "malformed", elsewhere: true, status: 502}
	case Truncated:
		return rule{name: "truncated", retry: true, elsewhere: true, against: true, status: 502}
	case Rejected:
		return rule{name: "rejected", elsewhere: true, status: 503}
	default:
		return rule{name: "unknown", elsewhere: true, against: true, status: 502}
	}
}

// Error returns the same as [Kind.String].
func (k Kind) Error() string { return k.String() }

// String returns the kind's name in snake case, such as "rate_limited". The
// names are closed and fit for labels.
func (k Kind) String() string { return k.rule().name }

// Retry reports whether the same model may be asked again: the table's column
// without its conditions.
func (k Kind) Retry() bool { return k.rule().retry }

// Elsewhere reports whether another model may be asked, in the same way.
func (k Kind) Elsewhere() bool { return k.rule().elsewhere }

// Against reports whether the failure says something about the model, in the
// same way. See also [Call.Against].
func (k Kind) Against() bool { return k.rule().against }

// Hold returns who holds the model after such a failure, or zero.
func (k Kind) Hold() HoldBy { return k.rule().hold }

// repels reports whether a failure is a reason to send the next call elsewhere:
// it is not the request's doing.
func (k Kind) repels() bool {
	switch k {
	case 0, Canceled, Invalid, TooLong, Filtered, Malformed:
		return false
	default:
		return true
	}
}

// worked reports whether the provider did work before it failed so, which is
// what makes another attempt amplify an overload.
func (k Kind) worked() bool {
	switch k {
	case TimedOut, Overloaded, Unreachable, Malformed, Truncated, Unknown:
		return true
	default:
		return false
	}
}
