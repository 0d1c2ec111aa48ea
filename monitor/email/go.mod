module github.com/cmmv-hive/resilience/monitor/email

go 1.26.0

replace github.com/cmmv-hive/resilience => ../..

require (
	github.com/cmmv-hive/resilience v0.0.0
	github.com/stretchr/testify v1.12.1
	github.com/wneessen/go-mail v0.8.1
)

require (
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/crypto v0.54.0 // indirect
	golang.org/x/text v0.40.0 // indirect
)
