package history

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cmmv-hive/resilience/internal/settings"
)

func TestConfigLints(t *testing.T) { require.NoError(t, settings.Lint(Config{})) }
