package bipadapter

// OperationType is a step of the BIP process.
type OperationType string

// The steps.
const (
	Validation     OperationType = "validation"
	Voting         OperationType = "voting"
	Consensus      OperationType = "consensus"
	Implementation OperationType = "implementation"
	Review         OperationType = "review"
	Analysis       OperationType = "analysis"
)
