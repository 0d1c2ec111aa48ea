package notify

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// Errors of an outbox.
var (
	ErrFull    = errors.New("notify: too many groups wait for the channel")
	ErrUnknown = errors.New("notify: there is no channel of that name")
	ErrStopped = errors.New("notify: the outbox has stopped")
)

// A Paced channel may be asked once every so often, and no more. Outboxes heed
// it.
type Paced interface{ Pace() time.Duration }

// An Outbox delivers notifications to channels, each at its own pace: one that
// fails is tried again while others go on. While a channel is down, the newest
// notification of a group takes the place of those before it. An end whose
// beginning has certainly not arrived is not told either.
//
// What waits is in memory, and lost with the process. Methods may be called at
// any time by any goroutine.
type Outbox struct {
	cfg     Config
	lanes   map[string]*lane
	names   []string
	running atomic.Bool

	mu      sync.Mutex
	rng     *rand.Rand
	records []Record // a ring
	next    int
}

// NewOutbox returns an outbox. Its error joins [*resilience.ConfigError]s.
func NewOutbox(cfg Config) (*Outbox, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	settings.Fill(&cfg)
	seed := cmp.Or(cfg.Seed, rand.Uint64())
	o := &Outbox{cfg: cfg, lanes: map[string]*lane{}, rng: rand.New(rand.NewPCG(seed, seed))}
	for _, c := range cfg.Channels {
		l := newLane(o, c)
		o.lanes[l.name] = l
		o.names = append(o.names, l.name)
	}
	return o, nil
}

// Send takes a notification for a channel and returns at once, with [ErrFull],
// [ErrUnknown] or [ErrStopped] if it has not been taken. N and what it refers to
// must not be changed any more.
func (o *Outbox) Send(channel string, n Notification) error {
	_, err := o.take(channel, n)
	return err
}

// Channel returns the channel of that name as it is behind the outbox: Notify
// returns once n, or a newer one of its group, has been delivered, or has been
// given up with that error. If its context ends first, n still is in the outbox.
// Notify of an unknown channel returns [ErrUnknown].
func (o *Outbox) Channel(name string) Channel { return behind{o, name} }

type behind struct {
	o    *Outbox
	name string
}

func (b behind) Name() string { return b.name }

func (b behind) Notify(ctx context.Context, n Notification) error {
	end, err := b.o.take(b.name, n)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-end.done:
		return end.err
	}
}

func (o *Outbox) take(channel string, n Notification) (*outcome, error) {
	l := o.lanes[channel]
	if l == nil {
		return nil, ErrUnknown
	}
	return l.take(n, time.Now())
}

// Run delivers until ctx ends and for [Config].Flush more, and returns when all
// channels have: a channel that does not heed its context holds it up. What
// waits then is given up, and counted. Run runs once.
func (o *Outbox) Run(ctx context.Context) error {
	if o.running.Swap(true) {
		return errors.New("notify: the outbox has been run before")
	}
	var wg sync.WaitGroup
	for _, name := range o.names {
		wg.Go(func() { o.lanes[name].run(ctx) })
	}
	wg.Wait()
	return nil
}

// jitter takes up to half of d away.
func (o *Outbox) jitter(d time.Duration) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	return d - time.Duration(o.rng.Int64N(int64(d)/2+1))
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
	Error   string // of the last try, without addresses, at most 200 bytes
}

// Records returns the latest deliveries, the newest first.
func (o *Outbox) Records() []Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]Record, 0, len(o.records))
	for i := range o.records {
		list = append(list, o.records[(o.next-1-i+2*len(o.records))%len(o.records)])
	}
	return list
}

func (o *Outbox) record(r Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch most := max(o.cfg.Records, 0); {
	case most == 0:
	case len(o.records) < most:
		o.records = append(o.records, r)
		o.next = len(o.records) % most
	default:
		o.records[o.next] = r
		o.next = (o.next + 1) % most
	}
}

// Stats is how a channel is doing.
type Stats struct {
	Channel  string
	Waiting  int             // groups
	Busy     time.Time       // since when a try is out, or zero
	Taken    int64           // notifications; they end in Outcomes, wait or are out
	Refused  int64           // for lack of room, or after the end
	Retries  int64           // tries that failed and were to be repeated
	Outcomes [outcomes]int64 // by Outcome
}

// Stats returns how the channels are doing, in their order.
func (o *Outbox) Stats() []Stats {
	list := make([]Stats, 0, len(o.names))
	for _, name := range o.names {
		list = append(list, o.lanes[name].stats())
	}
	return list
}
