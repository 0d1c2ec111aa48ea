package bipadapter_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/bipadapter"
)

func TestReadBallot(t *testing.T) {
	for text, want := range map[string]bipadapter.Ballot{
		`{"choice":"approve"}`:                                       {Choice: "approve"},
		" {\"choice\":\"a1\",\r\n\"confidence\":1}\n":                {Choice: "a1", Confidence: 1},
		`{"score":0}`:                                                {},
		`{"score":10,"reason":"bem","veto":"não"}`:                   {Score: 10, Reason: "bem", Veto: "não"},
		`{"choice":"","reason":"I cannot tell"}`:                     {Reason: "I cannot tell"},
		`{"score":7.5,"nonce":"00ff","signature":"AQI="}`:            {Score: 7.5, Nonce: "00ff", Signature: []byte{1, 2}},
		`{"choice":"x","reason":"` + strings.Repeat("é", 500) + `"}`: {Choice: "x", Reason: strings.Repeat("é", 500)},
	} {
		got, err := bipadapter.ReadBallot([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	for text, want := range map[string]string{
		``:                                 "ballot: not JSON, at byte",
		`null`:                             "ballot: not a JSON object",
		`"approve"`:                        "ballot: not a JSON object",
		`[{"choice":"a"}]`:                 "ballot: not a JSON object",
		`{}`:                               "ballot: neither choice nor score",
		`{"reason":"yes"}`:                 "ballot: neither choice nor score",
		`{"choice":"a"} {}`:                "ballot: text after the JSON value",
		`{"choice":"a"}, as asked`:         "ballot: text after the JSON value",
		"```json\n{\"choice\":\"a\"}\n```": "ballot: not JSON, at byte 1",
		"\ufeff{\"choice\":\"a\"}":         "ballot: not JSON",
		`{"choice":"a","choice":"b"}`:      "ballot: a key is repeated at byte",
		`{"choice":"a","\u0063hoice":"b"}`: "ballot: a key is repeated at byte",
		`{"Choice":"a"}`:                   "ballot: an unknown key",
		`{"choice":"a","vote":"b"}`:        "ballot: an unknown key",
		`{"choice":null}`:                  "ballot: choice: want a string",
		`{"choice":{"a":1}}`:               "ballot: choice: want a string",
		`{"score":"9"}`:                    "ballot: score: want a number",
		`{"score":null}`:                   "ballot: score: want a number",
		`{"score":NaN}`:                    "ballot: not JSON",
		`{"score":1e400}`:                  "ballot: score: want a number from 0 to 10",
		`{"score":-0.1}`:                   "ballot: score: want a number from 0 to 10",
		`{"score":10.1}`:                   "ballot: score: want a number from 0 to 10",
		`{"score":1,"confidence":1.01}`:    "ballot: confidence: want a number from 0 to 1",
		`{"score":1,"signature":"*"}`:      "ballot: signature: want base64",
		`{"score":1,"signature":""}`:       "ballot: signature: want base64",
		`{"score":1,"nonce":"` + strings.Repeat("0", 33) + `"}`:                    "ballot: nonce: 33 characters are more than 32",
		"{\"choice\":\"\xff\"}":                                                    "ballot: invalid UTF-8",
		`{"choice":"a","reason":"` + strings.Repeat("é", 501) + `"}`:               "ballot: reason: 501 characters are more than 500",
		`{"choice":"a","reason":"` + strings.Repeat("x", 4096) + `"}`:              "are more than the limit of 4096",
		`{"choice":` + strings.Repeat("[", 3000):                                   "ballot: not JSON",
		`{"choice":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`: "ballot: choice: want a string",
	} {
		_, err := bipadapter.ReadBallot([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "as asked", "an answer is nobody's business")
	}
}

func FuzzReadBallot(f *testing.F) {
	for _, text := range []string{
		`{"choice":"approve","confidence":0.5,"reason":"r"}`, `{"score":7,"veto":"v"}`, `{"choice":"a","choice":"b"}`, `{"score":1e400}`,
		"```json\n{}\n```", `{"choice":"\ud800"}`, `{"score":-0,"signature":"AQI="}`, `{"choice":"a"}x`, "\xff", `{"":1}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		b, err := bipadapter.ReadBallot(answer)
		if err != nil {
			if b.Choice != "" || b.Score != 0 || b.Signature != nil {
				t.Fatalf("%+v beside %v", b, err)
			}
			if len(err.Error()) > 200 || !utf8.ValidString(err.Error()) {
				t.Fatalf("%q", err.Error())
			}
			return
		}
		if !(b.Score >= 0 && b.Score <= 10 && b.Confidence >= 0 && b.Confidence <= 1) || len(answer) > 4<<10 || !json.Valid(answer) {
			t.Fatalf("%+v of %q", b, answer)
		}
		// What was read is written and read as the same, and weighs in a count.
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) <= 4<<10 {
			again, err := bipadapter.ReadBallot(text)
			if err != nil || again.Choice != b.Choice || again.Score != b.Score || again.Reason != b.Reason || string(again.Signature) != string(b.Signature) {
				t.Fatalf("%+v became %+v, %v", b, again, err)
			}
		}
		for _, method := range []bipadapter.Method{bipadapter.Majority, bipadapter.Scores} {
			c, err := bipadapter.Rule{Method: method}.Count(bipadapter.Poll{
				Voters: []bipadapter.Voter{{Name: "a"}}, Casts: []bipadapter.Cast{{Voter: "a", Ballot: b}},
			})
			if err != nil || c.Ballots > 1 {
				t.Fatal(c, err)
			}
		}
	})
}
