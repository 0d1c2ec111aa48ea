package health

// queue is a heap of states by due.
type queue []*state

// Len implements [heap.Interface].
func (q *queue) Len() int { return len(*q) }

// Less implements [heap.Interface].
func (q *queue) Less(i, j int) bool { return (*q)[i].due < (*q)[j].due }

// Swap implements [heap.Interface].
func (q *queue) Swap(i, j int) {
	l := *q
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push implements [heap.Interface].
func (q *queue) Push(x any) {
	st := x.(*state)
	st.place = len(*q)
	*q = append(*q, st)
}

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	old := *q
	st := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return st
}
