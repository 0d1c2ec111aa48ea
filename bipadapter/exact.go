package bipadapter

import (
	"math/big"
	"strconv"
)

// decimal returns x as the number that it is printed as.
func decimal(x float64) *big.Rat {
	r, ok := new(big.Rat).SetString(strconv.FormatFloat(x, 'g', -1, 64))
	if !ok {
		return new(big.Rat) // not finite, which checks refuse
	}
	return r
}

// part returns the simplest fraction within 1e-10 of x.
func part(x float64) *big.Rat {
	near := big.NewRat(1, 10_000_000_000)
	at := decimal(x)
	low := new(big.Rat).Sub(at, near)
	if low.Sign() <= 0 {
		return new(big.Rat)
	}
	return simplest(low, new(big.Rat).Add(at, near))
}

// simplest returns the fraction with the least denominator in [low, high], by
// continued fractions; low is positive.
func simplest(low, high *big.Rat) *big.Rat {
	whole := new(big.Int).Quo(low.Num(), low.Denom())
	floor := new(big.Rat).SetInt(whole)
	if floor.Cmp(low) == 0 {
		return floor
	}
	next := new(big.Rat).Add(floor, big.NewRat(1, 1))
	if next.Cmp(high) <= 0 {
		return next
	}
	rest := simplest(
		new(big.Rat).Inv(new(big.Rat).Sub(high, floor)),
		new(big.Rat).Inv(new(big.Rat).Sub(low, floor)),
	)
	return rest.Add(floor, rest.Inv(rest))
}

// whole scales rationals to integers: it returns them times the least common
// multiple of their denominators, and that.
func whole(rats []*big.Rat) (ints []*big.Int, scale *big.Int) {
	scale = big.NewInt(1)
	for _, r := range rats {
		gcd := new(big.Int).GCD(nil, nil, scale, r.Denom())
		scale.Mul(scale, new(big.Int).Quo(r.Denom(), gcd))
	}
	for _, r := range rats {
		n := new(big.Int).Quo(scale, r.Denom())
		ints = append(ints, n.Mul(n, r.Num()))
	}
	return ints, scale
}

// ratio returns a/b as a float, and 0 where b is.
func ratio(a, b *big.Int) float64 {
	if b.Sign() == 0 {
		return 0
	}
	f, _ := new(big.Rat).SetFrac(a, b).Float64()
	return f
}

// show returns r as a decimal where that is exact and short, and otherwise as a
// fraction.
func show(r *big.Rat) string {
	if n, exact := r.FloatPrec(); exact && n <= 20 {
		return r.FloatString(n)
	}
	return r.RatString()
}

// An amount is x of something. Steps show it when they are told, and nothing is
// shown to nobody.
type amount struct{ x, of *big.Int }

func (a amount) String() string { return show(new(big.Rat).SetFrac(a.x, a.of)) }

// compare compares a with a part.
func (a amount) compare(part *big.Rat) int {
	left := new(big.Int).Mul(a.x, part.Denom())
	return left.Cmp(new(big.Int).Mul(a.of, part.Num()))
}

type exactly struct{ part *big.Rat }

func (e exactly) String() string { return show(e.part) }

// never is a part that is off where it is zero.
type never struct{ part *big.Rat }

func (n never) String() string {
	if n.part.Sign() == 0 {
		return "nothing"
	}
	return show(n.part)
}

// named is a foreign name, bounded.
type named string

func (n named) String() string { return clip(string(n)) }
