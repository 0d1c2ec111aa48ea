package analytics_test

import (
	"os"
	"testing"

	"github.com/cmmv-hive/resilience/internal/leaktest"
)

func TestMain(m *testing.M) { os.Exit(leaktest.Run(m)) }
