package notify

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/settings"
)

// blocked are addresses that nobody on the public Internet has.
var blocked = []string{
	"0.0.0.0", "0.0.0.1", "0.255.255.255",
	"10.0.0.0", "10.255.255.255",
	"100.64.0.1", "100.100.100.200", "100.127.255.255",
	"127.0.0.1", "127.1.2.3", "127.255.255.254",
	"168.63.129.16",
	"169.254.0.1", "169.254.169.254", "169.254.170.2",
	"172.16.0.1", "172.31.255.255",
	"192.0.0.1", "192.0.0.192", "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "192.175.48.1",
	"198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7",
	"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
	"::", "::1", "::7f00:1", "::127.0.0.1", "::8.8.8.8",
	"::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8",
	"64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::1", "64:ff9c::1",
	"100::1", "100:0:0:1::1", "1::1",
	"2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1", "2001:30::1", "2001:1ff::1",
	"2001:db8::1", "2001:db8:ffff::1",
	"2002::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "2002:808:808::1",
	"2620:4f:8000::1", "3ffe::1", "3fff::1", "3fff:fff::1",
	"4000::1", "5f00::1", "8000::1",
	"fc00::1", "fd00::1", "fd00:ec2::254", "fd20:ce::254",
	"fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
	"2606:4700::1%eth0", "::ffff:8.8.8.8%1",
}

var public = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
	"168.63.129.15", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.1", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
	"::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	"2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700::1111", "2a00:1450:4001::200e", "3ffd::1", "3fff:1000::1",
}

func TestGuard(t *testing.T) {
	require.GreaterOrEqual(t, len(blocked), 40)
	var g guard
	for _, s := range blocked {
		require.False(t, g.permits(netip.MustParseAddr(s)), s)
		require.NotEmpty(t, g.problem(s), s)
	}
	for _, s := range public {
		require.True(t, g.permits(netip.MustParseAddr(s)), s)
		require.Empty(t, g.problem(s), s)
	}
	require.False(t, g.permits(netip.Addr{}))
}

func TestGuardAllows(t *testing.T) {
	g := guard{[]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00:1::/64")}}
	for _, s := range []string{"10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::1", "8.8.8.8"} {
		require.True(t, g.permits(netip.MustParseAddr(s)), s)
	}
	for _, s := range []string{"10.2.2.3", "::10.1.2.3", "2002:a01:203::1", "fd00:2::1", "fd00:1::1%eth0", "127.0.0.1"} {
		require.False(t, g.permits(netip.MustParseAddr(s)), s)
	}
}

// What some resolvers take for an address is refused before it is looked up.
func TestGuardRefusesNumbers(t *testing.T) {
	var g guard
	for _, host := range []string{
		"", ".", "2130706433", "0x7f000001", "0X7F000001", "017700000001", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1",
		"127.0.0.1.", "127.0.0.0x1", "0x", "1.2.3.4.5", "256.256.256.256", "example.1",
	} {
		require.NotEmpty(t, g.problem(host), host)
	}
	for _, host := range []string{"example.com", "example.com.", "x", "a-1.example", "1.example", "xn--e1afmkfd.xn--p1ai", "0x7g.ab", "hooks.slack.com", "alertmanager-0"} {
		require.Empty(t, g.problem(host), host)
	}
}

func TestHTTPLints(t *testing.T) {
	require.NoError(t, settings.Lint(HTTP{}))
	_, problems := newPoster("notify.http", HTTP{Allow: []netip.Prefix{{}, netip.MustParsePrefix("::ffff:10.0.0.0/104")}})
	require.Len(t, problems, 2)
	_, problems = newPoster("notify.http", HTTP{})
	require.Empty(t, problems)
}

func FuzzGuard(f *testing.F) {
	for _, s := range append(blocked, public...) {
		b := netip.MustParseAddr(s).As16()
		f.Add(b[:], s)
	}
	for _, s := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "localhost", "a.example", "%31", "１２７.0.0.1"} {
		f.Add([]byte{127, 0, 0, 1}, s)
	}
	f.Fuzz(func(t *testing.T, raw []byte, host string) {
		var g guard
		var b [16]byte
		copy(b[:], raw)
		a := netip.AddrFrom16(b)
		if u := a.Unmap(); g.permits(a) && (!u.IsGlobalUnicast() || u.IsPrivate() || u.IsLoopback() || u.IsLinkLocalUnicast() || u.IsMulticast()) {
			t.Fatalf("%s is permitted", a)
		}
		v4 := [4]byte(b[:4])
		is4 := g.permits(netip.AddrFrom4(v4))
		for name, held := range map[string]netip.Addr{
			"mapped":     within("::ffff:0:0", 12, v4),
			"nat64":      within("64:ff9b::", 12, v4),
			"compatible": within("::", 12, v4),
			"translated": within("::ffff:0:0:0", 12, v4),
			"local":      within("64:ff9b:1::", 12, v4),
			"6to4":       within("2002::", 2, v4),
			"teredo":     within("2001::", 12, v4),
		} {
			mayBe := name == "mapped" || name == "nat64"
			if got := g.permits(held); got != (mayBe && is4) {
				t.Fatalf("%s, %s of %v: permitted %v", held, name, v4, got)
			}
			if g.permits(held.WithZone("1")) {
				t.Fatalf("%s with a zone is permitted", held)
			}
		}
		if h, err := netip.ParseAddr(host); err == nil && g.problem(host) == "" && !g.permits(h) {
			t.Fatalf("%q passes", host)
		}
	})
}

// within returns prefix with v4 at a byte of it.
func within(prefix string, at int, v4 [4]byte) netip.Addr {
	b := netip.MustParseAddr(prefix).As16()
	copy(b[at:], v4[:])
	return netip.AddrFrom16(b)
}
