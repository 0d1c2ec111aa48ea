package alert

// Evaluator returns what evaluates all rules once.
func Evaluator(a *Alerts) func() { return func() { a.evaluate(a.now()) } }
