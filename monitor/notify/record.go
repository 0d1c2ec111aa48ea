package notify

import "time"

// An Outcome is how a delivery ended.
type Outcome uint8

// Outcomes.
const (
	Delivered Outcome = iota // the channel has taken it
	Replaced                 // by a newer one of its group, before it was delivered
	Moot                     // the group ended before anybody was told of it
	Failed                   // the channel has refused it for good
	Expired                  // it was kept for as long as notifications are
	Abandoned                // the outbox stopped, or who waited for it gave up
	outcomes
)

// String returns the outcome's name.
func (o Outcome) String() string {
	names := [outcomes]string{"delivered", "replaced", "moot", "failed", "expired", "abandoned"}
	if o < outcomes {
		return names[o]
	}
	return "unknown"
}

// A Record is how the delivery of a notification ended.
type Record struct {
	Time    time.Time
	Channel string
	Group   string
	Reason  Reason
	Tries   int
	Took    time.Duration // since it was taken
	Outcome Outcome
	Error   string // of the last try, at most 200 bytes, without addresses and what looks like a key; see [Outbox]
}

// Stats is how a channel is doing.
type Stats struct {
	Channel  string
	Waiting  int             // groups
	Busy     time.Time       // since when a try is out, or zero
	Taken    int64           // notifications; they end in Outcomes, wait or are out
	Refused  int64           // for lack of room, or because the outbox did not run
	Retries  int64           // tries that failed and were to be repeated
	Outcomes [outcomes]int64 // by Outcome
}

// A ring keeps the latest records.
type ring struct {
	list []Record
	next int // the oldest, once the list is full
}

// resize makes room for most records, and keeps the latest.
func (r *ring) resize(most int) {
	list := r.latest()
	*r = ring{list: make([]Record, 0, max(most, 0))}
	for i := min(len(list), most) - 1; i >= 0; i-- {
		r.add(list[i])
	}
}

func (r *ring) add(x Record) {
	switch most := cap(r.list); {
	case most == 0:
	case len(r.list) < most:
		r.list = append(r.list, x)
	default:
		r.list[r.next] = x
		r.next = (r.next + 1) % most
	}
}

// latest are the records, the newest first.
func (r *ring) latest() []Record {
	list := make([]Record, 0, len(r.list))
	for i := range r.list {
		list = append(list, r.list[(r.next-1-i+2*len(r.list))%len(r.list)])
	}
	return list
}
