package chaos

import (
	"testing"

	"github.com/cmmv-hive/resilience/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
