// Package sdks shows how the official clients of OpenAI, Anthropic and Gemini
// are put behind a pool: plain, as streams, and converted to one type. It is
// there to be copied.
package sdks

import "iter"

// until are chunks up to the first that is wrong, and then its error.
func until[Chunk any](chunks iter.Seq2[Chunk, error], wrong func(Chunk) error) iter.Seq2[Chunk, error] {
	return func(yield func(Chunk, error) bool) {
		for c, err := range chunks {
			if err == nil {
				err = wrong(c)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}
