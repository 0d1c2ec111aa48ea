package bipadapter_test

import (
	"fmt"
	"time"

	"github.com/cmmv-hive/resilience/bipadapter"
)

// Weights are learnt from what voters answered, here with some truths known.
func ExampleHistory() {
	h := bipadapter.NewHistory(bipadapter.LearnConfig{})
	for q, answers := range [][3]string{
		{"4", "4", "5"}, {"1,000", "1000", "999"}, {"1/2", "0.5", "2"}, {"7", "8", "7"}, {"12", "12", "11"}, {"3", "3", "3"},
	} {
		question := fmt.Sprint("question ", q)
		h.Add(
			bipadapter.Said{Question: question, Voter: "gpt-5", Answer: answers[0]},
			bipadapter.Said{Question: question, Voter: "claude-sonnet-5", Answer: answers[1]},
			bipadapter.Said{Question: question, Voter: "small", Answer: answers[2]})
	}
	h.Truth("question 1", "1000")
	h.Truth("question 3", "7")

	learned := h.Learn(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	for _, v := range learned.Voters {
		fmt.Printf("%s %.2f\n", v.Voter, v.Weight)
	}
	fmt.Printf("%s, %.2f\n", learned.Answers[2].Answer, learned.Answers[2].Confidence)
	fmt.Println(learned.From())
	// Output:
	// claude-sonnet-5 1.29
	// gpt-5 2.31
	// small -1.00
	// 1/2, 0.82
	// learnt at 2026-03-01T00:00:00Z by one-coin from 18 answers to 6 questions, 2 of known truth
}

func ExampleSame() {
	fmt.Println(bipadapter.Same("1,000", "1e3"), bipadapter.Same(`\frac{1}{2}`, "0.5"), bipadapter.Same("Approve.", " approve"))
	fmt.Println(bipadapter.Same("50%", "0.5"), bipadapter.Same("1,5", "1.5"))
	// Output:
	// true true true
	// false false
}

// Three of five that agree need no others.
func ExampleStop() {
	weights := []float64{1, 1, 1, 1, 1}
	answers := []string{"18", "18", "20", "$18", "17"}
	var heard []bipadapter.Voice
	for n, voter := range bipadapter.Order(weights, [32]byte{3}) {
		if (bipadapter.Stop{}).Enough(heard, weights[n:]) {
			break
		}
		heard = append(heard, bipadapter.Voice{Answer: bipadapter.Canonical(answers[voter]), Weight: weights[voter]})
		fmt.Println(answers[voter])
	}
	// Output:
	// 18
	// $18
	// 18
}

func ExampleEscalate() {
	heard := []bipadapter.Voice{{Answer: "18", Weight: 2}, {Answer: "18", Weight: 2}, {Answer: "20", Weight: 1}}
	fmt.Println(bipadapter.Disagreement(heard), bipadapter.Escalate(heard, 0.4))
	// Output:
	// 0.5 true
}
