package bipadapter_test

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestCollapse(t *testing.T) {
	require.NoError(t, settings.Lint(bipadapter.Voter{}))

	got, err := bipadapter.Collapse([]bipadapter.Voter{
		{Model: "gpt-5"}, {Name: "b", Model: "claude", Weight: -1, Role: bipadapter.Collaborator}, {Name: "c", Model: "claude-4"},
	})
	require.NoError(t, err)
	require.Equal(t, []bipadapter.Voter{
		{Name: "gpt-5", Model: "gpt-5", Role: bipadapter.General, Weight: 1},
		{Name: "b", Model: "claude", Role: bipadapter.Collaborator, Weight: -1},
		{Name: "c", Model: "claude-4", Role: bipadapter.General, Weight: 1},
	}, got)
	again, err := bipadapter.Collapse(got)
	require.NoError(t, err)
	require.Equal(t, got, again, "who weighs nothing does so when collapsed twice")
	none, err := bipadapter.Collapse(nil)
	require.NoError(t, err)
	require.Empty(t, none)

	for name, voters := range map[string][]bipadapter.Voter{
		"one model twice":      {{Name: "a", Model: "m"}, {Name: "b", Model: "m"}},
		"an alias is a name":   {{Name: "a"}, {Name: "b", Aliases: []string{"A"}}},
		"a name is an alias":   {{Name: "a", Aliases: []string{"b"}}, {Name: "b"}},
		"spelled differently":  {{Name: "Manus AI"}, {Name: "manus-ai"}},
		"dots and dashes":      {{Name: "google/gemini-2.5"}, {Name: "google-gemini-2-5"}},
		"the same line, twice": {{Name: "a"}, {Name: "a"}},
		"two through a third":  {{Name: "a"}, {Name: "b"}, {Name: "c", Aliases: []string{"b", "a"}}},
		"through two aliases":  {{Name: "a", Aliases: []string{"x"}}, {Name: "b", Aliases: []string{"y"}}, {Name: "x", Model: "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := bipadapter.Collapse(voters)
			require.NoError(t, err)
			require.Len(t, got, 1)
			for _, v := range voters {
				found, ok := bipadapter.Find(got, v.Name)
				require.True(t, ok)
				require.Equal(t, voters[0].Name, found.Name)
			}
			again, err := bipadapter.Collapse(got)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
	_, ok := bipadapter.Find(got, "gpt-4")
	require.False(t, ok)
}

func TestCollapseRefuses(t *testing.T) {
	key := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for want, voters := range map[string][]bipadapter.Voter{
		"voters[0]: neither a name nor a model; say one":                         {{}},
		`voters[1].role: "genral" is none of general, collaborator, master; did`: {{Name: "a"}, {Name: "b", Role: "genral"}},
		"voters[0].weight: NaN is not a finite number":                           {{Name: "a", Weight: math.NaN()}},
		"voters[0].weight: +Inf is not a finite number":                          {{Name: "a", Weight: math.Inf(1)}},
		"voters[0].weight: 1e+10 is more than 1e+09":                             {{Name: "a", Weight: 1e10}},
		"voters[0].weight: 1e-10 is less than 1e-09":                             {{Name: "a", Weight: 1e-10}},
		`voters[0]: a name must be printable text of 1 to 128 bytes, not "a\n`:   {{Name: "a\nb"}},
		"not \"\\u202ea\"":               {{Name: "a", Aliases: []string{"\u202ea"}}},
		"xxx\"…":                         {{Name: strings.Repeat("x", 200)}},
		`not "--"`:                       {{Name: "--"}},
		"a group must be printable text": {{Name: "a", Group: "\x00"}},
		"publicKey is not an Ed25519 public key: want 32 bytes in base64":    {{Name: "a", PublicKey: key[:20]}},
		`voters[1]: "b" is the same voter as "a", with another role, weight`: {{Name: "a", Model: "m"}, {Name: "b", Model: "m", Weight: 2}},
		"251 are more than 250": make([]bipadapter.Voter, 251),
	} {
		t.Run(want, func(t *testing.T) {
			_, err := bipadapter.Collapse(voters)
			require.ErrorContains(t, err, want)
		})
	}
	_, err := bipadapter.Collapse([]bipadapter.Voter{{Name: "a", PublicKey: key}, {Name: "b", PublicKey: "?"}, {}})
	require.ErrorContains(t, err, "voters[1]")
	require.ErrorContains(t, err, "voters[2]", "all that is wrong is told")
}
