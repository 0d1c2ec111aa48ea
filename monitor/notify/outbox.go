package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cmmv-hive/resilience"
	"github.com/cmmv-hive/resilience/internal/settings"
)

// Errors of an outbox.
var (
	ErrFull    = errors.New("notify: too many groups wait for the channel")
	ErrUnknown = errors.New("notify: there is no channel of that name")
	ErrStopped = errors.New("notify: the outbox is in no pool, or Pool.Run has ended")

	errLate = errors.New("it has waited for as long as notifications are kept")
)

// A Paced channel may be asked once every so often, and no more. Outboxes heed
// it.
type Paced interface{ Pace() time.Duration }

// An Outbox delivers notifications to channels, each at its own pace: one that
// fails is tried again while others go on. While a channel is down, the newest
// notification of a group takes the place of those before it. An end whose
// beginning has certainly not arrived is not told either.
//
// It is a [resilience.Feature] that owns the section "notify" and delivers within
// [resilience.Pool.Run]. When that is told to stop, it goes on for [Config].Flush,
// and tries once what it has not tried yet. A channel that does not heed its context
// holds it up.
//
// What waits is in memory, and lost with the process. Methods may be called at any
// time by any goroutine.
//
// # Errors of channels
//
// [Outbox.Records] has the text of errors, cut to 200 bytes. Addresses in it are cut
// down to their scheme, and words of 20 or more letters, digits and +/=_- are left
// out that have a digit in them, as most keys are. A channel of yours should
// put no key into its errors: a short one, or one without a digit, is not known for
// one.
type Outbox struct {
	given Config
	wrong []settings.Problem // with the channels
	pool  atomic.Pointer[resilience.Pool]
	cfg   atomic.Pointer[Config] // filled
	lanes map[string]*lane
	names []string

	mu      sync.Mutex
	rng     *rand.Rand
	records ring
}

// NewOutbox returns an outbox. What is wrong with cfg is reported by
// [resilience.NewPool].
func NewOutbox(cfg Config) *Outbox {
	seed := cmp.Or(cfg.Seed, rand.Uint64())
	o := &Outbox{given: cfg, lanes: map[string]*lane{}, rng: rand.New(rand.NewPCG(seed, seed))}
	for i, c := range cfg.Channels {
		l, problem := o.lane(c)
		if problem != "" {
			o.wrong = append(o.wrong, settings.Problem{Path: fmt.Sprintf("%s.channels[%d]", section, i), Problem: problem})
			continue
		}
		o.lanes[l.name] = l
		o.names = append(o.names, l.name)
	}
	return o
}

// lane returns the lane of a channel, or what is wrong with it.
func (o *Outbox) lane(c Channel) (l *lane, problem string) {
	if c == nil {
		return nil, "is nil"
	}
	l = &lane{o: o, c: c, wake: make(chan struct{}, 1)}
	err := guarded(func() {
		l.name = c.Name()
		if p, ok := c.(Paced); ok {
			l.pace = max(p.Pace(), 0)
		}
	})
	switch {
	case err != nil:
		return nil, "does not say its name and pace: " + err.Error()
	case !plainName(l.name):
		return nil, "has a name that is not 1 to 64 letters, digits and -_."
	case o.lanes[l.name] != nil:
		return nil, l.name + " is the name of another channel"
	}
	l.count.Channel = l.name
	return l, ""
}

// Install implements [resilience.Feature].
func (o *Outbox) Install(s *resilience.Setup) error {
	cfg, err := o.given.over(nil)
	if err = errors.Join(err, configErrors(o.wrong)); err != nil {
		return err
	}
	if !o.pool.CompareAndSwap(nil, s.Pool()) {
		return &resilience.ConfigError{Path: section, Problem: "this outbox belongs to another pool"}
	}
	o.set(cfg)
	s.Configure(section, o.prepare)
	s.Background(section, o.run)
	return nil
}

func (o *Outbox) prepare(raw json.RawMessage) (func(), error) {
	cfg, err := o.given.over(raw)
	return func() { o.set(cfg) }, err
}

// set makes cfg, which is filled, the settings.
func (o *Outbox) set(cfg Config) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if old := o.cfg.Swap(&cfg); old == nil || old.Records != cfg.Records {
		o.records.resize(cfg.Records)
	}
}

func (o *Outbox) config() *Config { return o.cfg.Load() }

// String returns the settings in effect.
func (o *Outbox) String() string {
	if cfg := o.config(); cfg != nil {
		return settings.Describe(*cfg)
	}
	return "in no pool"
}

func (o *Outbox) now() time.Duration             { return o.pool.Load().Now() }
func (o *Outbox) at(now time.Duration) time.Time { return o.pool.Load().At(now) }

// Send takes a notification for a channel and returns at once, with [ErrFull],
// [ErrUnknown] or [ErrStopped] if it has not been taken. N and what it refers to
// must not be changed any more.
func (o *Outbox) Send(channel string, n Notification) error {
	_, _, err := o.take(channel, n)
	return err
}

// Channel returns the channel of that name as it is behind the outbox. Its Notify
// returns nil once n, or a newer one of its group, has been delivered. If its context
// ends first, n is taken back; a try that is out is waited for, [Config].Timeout at
// most. So whatever Notify returns an error of is not sent later. Notify of an unknown
// channel returns [ErrUnknown].
func (o *Outbox) Channel(name string) Channel { return behind{o, name} }

type behind struct {
	o    *Outbox
	name string
}

func (b behind) Name() string { return b.name }

func (b behind) Notify(ctx context.Context, n Notification) error {
	l, end, err := b.o.take(b.name, n)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		l.leave(end, context.Cause(ctx), b.o.now())
		<-end.done
	case <-end.done:
	}
	return end.err
}

func (o *Outbox) take(channel string, n Notification) (*lane, *outcome, error) {
	l := o.lanes[channel]
	switch {
	case l == nil:
		return nil, nil, ErrUnknown
	case o.config() == nil:
		return nil, nil, ErrStopped
	}
	end, err := l.take(n, o.now())
	return l, end, err
}

// run delivers until ctx ends and all channels have returned.
func (o *Outbox) run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, name := range o.names {
		o.lanes[name].start()
	}
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

// Records returns the latest deliveries, the newest first.
func (o *Outbox) Records() []Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.records.latest()
}

func (o *Outbox) record(r Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.records.add(r)
}

// Stats returns how the channels are doing, in their order.
func (o *Outbox) Stats() []Stats {
	list := make([]Stats, 0, len(o.names))
	for _, name := range o.names {
		list = append(list, o.lanes[name].stats())
	}
	return list
}
