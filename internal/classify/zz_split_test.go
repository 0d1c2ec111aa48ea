package classify_test

import (
	"encoding/json"
	"errors"
	"github.com/cmmv-hive/resilience/internal/classify"
	"os"
	"testing"
	"time"
)

func TestSplit(t *testing.T) {
	b, _ := os.ReadFile(os.Getenv("SPLIT"))
	var L []struct{ Text, Kind string }
	json.Unmarshal(b, &L)
	ok := 0
	for _, l := range L {
		g := classify.Of(errors.New(l.Text), time.Time{})
		if g.Kind == kindNames[l.Kind] {
			ok++
		} else if os.Getenv("BLIND") == "" {
			t.Logf("%s got %+v | %s", l.Kind, g, l.Text)
		}
	}
	t.Logf("%d of %d", ok, len(L))
}
