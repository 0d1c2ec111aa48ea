package main

import (
	"os"
	"testing"

	"github.com/cmmv-hive/resilience/internal/leaktest"
)

func TestMain(m *testing.M) {
	if os.Getenv(asItself) != "" {
		main()
	}
	os.Exit(leaktest.Run(m))
}
