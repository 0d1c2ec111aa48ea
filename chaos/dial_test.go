package chaos

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A connection that was given up breaks the second request over it, and a fresh
// one serves again: what a retry needs.
func TestStaleConnection(t *testing.T) {
	p, err := NewProvider(only1(Model{Failures: []Failure{{Fault: Fault{Name: StaleConnection}, Share: 1}}}))
	require.NoError(t, err)
	defer p.Close()
	for _, well := range []bool{true, false, true, false} {
		s := dialects[0].ask(t, p, false)
		require.Equal(t, well, s.err == nil, "%v", s.err)
	}
}

// What happens before a provider is asked is not for one.
func TestOnTheWay(t *testing.T) {
	_, err := NewProvider(script(Fault{Name: NoSuchHost}))
	require.EqualError(t, err, "provider.models.m.script[0].name: no_such_host happens before a provider is asked: use an Injector")
}
