package breaker

// State is the state of a breaker.
type State uint8

// The states of a breaker.
const (
	Closed   State = iota // calls pass
	HalfOpen              // some calls pass, to probe
	Open                  // no call passes for some time
	Isolated              // no call passes until [Breakers.Close]
)

// String returns the state's name, such as "half-open".
func (s State) String() string {
	names := [...]string{"closed", "half-open", "open", "isolated"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}
