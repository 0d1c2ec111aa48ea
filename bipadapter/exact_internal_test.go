package bipadapter

import (
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPart: a part is the fraction that was meant.
func TestPart(t *testing.T) {
	for den := int64(1); den <= 100; den++ {
		for num := range den + 1 {
			want := big.NewRat(num, den)
			x, _ := want.Float64()
			require.Zero(t, want.Cmp(part(x)), "%v", want)
			require.Zero(t, want.Cmp(part(1-(1-x))), "%v, computed", want)
		}
	}
	for x, want := range map[float64]string{
		0.6666666667: "2/3", 0.667: "667/1000", 0.12345: "2469/20000", 1e-11: "0", 0.99999: "99999/100000", 1 - 1e-11: "1", 0.1 + 0.2: "3/10",
	} {
		r, _ := new(big.Rat).SetString(want)
		require.Zero(t, r.Cmp(part(x)), "%v is not %v", part(x), want)
	}
	require.Equal(t, "0.1", show(decimal(0.1)))
	require.Equal(t, "1/3", show(big.NewRat(1, 3)))
	require.Equal(t, "100000000000000000000000", show(decimal(1e23)))
}
