package bipadapter

import (
	"context"
	"fmt"
	"slices"

	"github.com/cmmv-hive/resilience"
)

// Reweigh gives voters the weights that were learnt, for rounds that begin from now
// on: a round keeps those that its opening lists, with where they come from. The
// pool's audit hears of it before, and may refuse it. The weights last as long as the
// adapter, and hold for models that come later too; what is to outlive it belongs into
// Config.Voters.
func (a *Adapter[Req, Resp]) Reweigh(ctx context.Context, l Learned, by resilience.Control) error {
	l.Voters = slices.Clone(l.Voters)
	if _, err := a.weighed(&l); err != nil {
		return fmt.Errorf("bipadapter: weights: %w", err)
	}
	change := resilience.Change{Control: by, What: "bip.weights", To: l.From()}
	if err := a.client.Pool().Audit(ctx, change); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.learned = &l
	return nil
}
