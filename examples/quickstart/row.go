package main

import (
	"context"

	"github.com/cmmv-hive/resilience"
)

// An Ask makes one call in the way of a row, and says which model answered and
// what it cost in US dollars.
type Ask func(ctx context.Context, req ChatRequest) (res *ChatResponse, model string, cost float64, err error)

// newRows returns the rows of the table, empty, and how each makes its calls.
// Each has connections of its own.
func newRows(n *Network, p pace) ([]Row, []Ask, error) {
	library, err := protect(n.models(), p)
	if err != nil {
		return nil, nil, err
	}
	first, again := n.models()[0], n.models()[0]
	return []Row{{Name: "bare"}, {Name: "retry only"}, {Name: "this library"}},
		[]Ask{alone(first, first.Chat), alone(again, protectOne(again, p).Call), reported(library)}, nil
}

// alone asks one model.
func alone(s Server, call func(context.Context, ChatRequest) (*ChatResponse, error)) Ask {
	return func(ctx context.Context, req ChatRequest) (*ChatResponse, string, float64, error) {
		res, err := call(ctx, req)
		if err != nil {
			return nil, "", 0, err
		}
		cost, _ := s.Price.Cost(tokens(req, res))
		return res, s.Model, cost, nil
	}
}

// reported asks the library, which says what it did.
func reported(chat Chat) Ask {
	return func(ctx context.Context, req ChatRequest) (*ChatResponse, string, float64, error) {
		res, report, err := chat.Do(ctx, req, resilience.CallOptions{})
		if err != nil {
			return nil, "", report.Cost, err
		}
		return res, report.Model.ID(), report.Cost, nil
	}
}
