module github.com/cmmv-hive/resilience/internal/oracles

go 1.26.0

replace github.com/cmmv-hive/resilience => ../..

require (
	github.com/DataDog/sketches-go v1.4.8
	github.com/cmmv-hive/resilience v0.0.0
	github.com/stretchr/testify v1.12.1
	gonum.org/v1/gonum v0.17.0
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)
