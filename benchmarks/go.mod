module github.com/cmmv-hive/resilience/benchmarks

go 1.26.0

replace github.com/cmmv-hive/resilience => ../

require (
	github.com/cenkalti/backoff/v4 v4.3.0
	github.com/cmmv-hive/resilience v0.0.0-00010101000000-000000000000
	github.com/failsafe-go/failsafe-go v0.9.8
	github.com/sony/gobreaker/v2 v2.4.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/bits-and-blooms/bitset v1.24.4 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
