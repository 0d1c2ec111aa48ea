package bipadapter

import (
	"fmt"
	"math/big"
	"slices"

	"github.com/cmmv-hive/resilience"
)

// units says which voters count as one.
type units struct {
	of    []int
	names []string
}

// weigh returns the weights of eligible voters under GroupCap, and who counts as
// one.
func (r Rule) weigh(voters []Voter) ([]*big.Rat, units, error) {
	var u units
	index := map[string]int{}
	weights := make([]*big.Rat, len(voters))
	var sums []*big.Rat
	for i, v := range voters {
		name := "group " + v.Group
		if v.Group == "" {
			name = "voter " + v.Name
		}
		j, ok := index[name]
		if !ok {
			j = len(u.names)
			index[name] = j
			u.names, sums = append(u.names, name), append(sums, new(big.Rat))
		}
		u.of = append(u.of, j)
		weights[i] = decimal(max(v.Weight, 0))
		sums[j].Add(sums[j], weights[i])
	}
	if r.GroupCap <= 0 || len(voters) == 0 {
		return weights, u, nil
	}
	capped, err := limited(sums, part(r.GroupCap))
	if err != nil {
		return nil, u, err
	}
	for i, j := range u.of {
		if sums[j].Cmp(capped[j]) != 0 {
			weights[i] = new(big.Rat).Mul(weights[i], new(big.Rat).Quo(capped[j], sums[j]))
		}
	}
	return weights, u, nil
}

// limited returns sums with the largest of them lessened until none is more
// than most of all that is left.
func limited(sums []*big.Rat, most *big.Rat) ([]*big.Rat, error) {
	order := make([]int, len(sums))
	rest := new(big.Rat)
	for i := range sums {
		order[i] = i
		rest.Add(rest, sums[i])
	}
	slices.SortStableFunc(order, func(a, b int) int { return sums[b].Cmp(sums[a]) })
	out := slices.Clone(sums)
	for m, i := range order {
		// With m of them lessened to most × all, all is rest / (1 − m·most).
		open := new(big.Rat).Sub(big.NewRat(1, 1), new(big.Rat).Mul(most, big.NewRat(int64(m), 1)))
		if open.Sign() <= 0 {
			break
		}
		limit := new(big.Rat).Mul(most, new(big.Rat).Quo(rest, open))
		if sums[i].Cmp(limit) <= 0 {
			for _, j := range order[:m] {
				out[j] = limit
			}
			return out, nil
		}
		rest.Sub(rest, sums[i])
	}
	return nil, &resilience.ConfigError{Path: "rule.groupCap", Problem: fmt.Sprintf("%s of all weight is too little for %d groups with weight; raise it, or add voters of other groups", show(most), len(sums))}
}
