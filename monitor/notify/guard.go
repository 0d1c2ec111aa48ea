package notify

import (
	"net/netip"
	"slices"
	"strings"
)

// A guard says which addresses may be connected to: those of the public
// Internet, and those that are allowed by name. What is special is what the
// registries of IANA for both families say, as no function of net/netip does.
type guard struct{ allow []netip.Prefix }

var (
	special4 = prefixes(
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // carriers, and a cloud's metadata
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // public by its number, and the host of every machine in Azure
		"169.254.0.0/16",   // link-local, and most clouds' metadata
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocols, and a cloud's metadata
		"192.0.2.0/24",     // documentation
		"192.31.196.0/24",  // AS112
		"192.52.193.0/24",  // AMT
		"192.88.99.0/24",   // relays of 6to4
		"192.168.0.0/16",   // private
		"192.175.48.0/24",  // AS112
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, broadcast
	)

	// Outside of global6 there is nothing public, or not yet.
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes(
		"2001::/23",         // protocols: Teredo, benchmarks, ORCHID, …
		"2001:db8::/32",     // documentation
		"2002::/16",         // 6to4, which holds an IPv4 address
		"2620:4f:8000::/48", // AS112
		"3ffe::/16",         // the 6bone, which is gone
		"3fff::/20",         // documentation
	)

	// In networks without IPv4 all of IPv4 is here.
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// permits reports whether a may be connected to. An address with a zone may not.
func (g guard) permits(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	switch in := func(p netip.Prefix) bool { return p.Contains(a) }; {
	case slices.ContainsFunc(g.allow, in):
		return true
	case a.Is4():
		return !slices.ContainsFunc(special4, in)
	case nat64.Contains(a):
		b := a.As16()
		return g.permits(netip.AddrFrom4([4]byte(b[12:])))
	default:
		return global6.Contains(a) && !slices.ContainsFunc(special6, in)
	}
}

// problem says what is wrong with a host before it is looked up, or "".
func (g guard) problem(host string) string {
	if host == "" {
		return "has no host"
	}
	if a, err := netip.ParseAddr(host); err == nil {
		if !g.permits(a) {
			return "is at an address that is not public; add it to Allow if it is meant"
		}
		return ""
	}
	// No name ends in a number. Some resolvers take such for an address.
	labels := strings.Split(strings.TrimSuffix(host, "."), ".")
	last := strings.ToLower(labels[len(labels)-1])
	digits := "0123456789"
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		last, digits = hex, "0123456789abcdef"
	}
	if strings.Trim(last, digits) == "" {
		return "is at an address in a form that is not read; write it like 192.0.2.1"
	}
	return ""
}
