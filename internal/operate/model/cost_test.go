package model

import (
	"math"
	"testing"

	"carnation/internal/cost"
)

func TestCostIsCountedWhereItCanBe(t *testing.T) {
	for _, test := range []struct {
		name, part, basis, note string
		quantity                float64
	}{
		// 12 visits outside of the iterations and three in each iteration, and one more for each failed event that is parked; one
		// invocation was killed, whose event did not enter Was It Inserted?.
		{"inline-failures", "state transitions", Counted, "", 5 + 1 + 20*3 - 1 + 7*2 - 1},
		{"inline-failures", "function requests", Counted, "", 1 + 20},
		{"inline-failures", "DynamoDB writes", Counted, "", 11},
		{"inline-failures", "SQS requests", Counted, "calls of states", 7},
		{"inline-claims", "SQS requests", Counted, "calls of states", 7},
		{"inline-buried", "SQS requests", Counted, "calls of states", 14}, // each is sent and deleted
		{"distributed-failures", "state transitions", Counted, "", 7 + 4*3},
		{"distributed-failures", "function requests", Counted, "", 2 + 4*2},
		{"distributed-failures", "DynamoDB writes", Counted, "", 20},
		{"distributed-source", "DynamoDB writes", Estimated, "", 13},
		{"express", "state transitions", Counted, "", 7 + 4},
		{"express", "Express requests", Counted, "", 4},
		{"express", "function requests", Estimated, "", 2 + 4*2},
	} {
		d, found := document(t, test.name, Options{}), false
		for _, l := range d.Cost.Lines {
			if l.Part == test.part && (test.note == "" || test.note == l.Note) && !found {
				found = true
				if l.Quantity != test.quantity || l.Basis != test.basis {
					t.Errorf("%s: %s is %g %s, want %g %s", test.name, test.part, l.Quantity, l.Basis, test.quantity, test.basis)
				}
			}
		}
		if !found {
			t.Errorf("%s: there is no %s in %+v", test.name, test.part, d.Cost.Lines)
		}
	}
}

func TestCostsAreQuantitiesTimesPrices(t *testing.T) {
	prices, err := cost.LoadPrices()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names(t) {
		c, sum := document(t, name, Options{}).Cost, 0.0
		for _, l := range c.Lines {
			price := prices.Prices[l.Part]
			if want := l.Quantity * price.USD / price.Per; math.Abs(l.USD-want) > 1e-12 || l.Quantity <= 0 || l.Unit != price.Unit {
				t.Errorf("%s: %+v, want %g USD", name, l, want)
			}
			sum += l.USD
		}
		if math.Abs(sum-c.USD) > 1e-12 || c.Date != prices.Date || c.Region != prices.Region || len(c.Lines) == 0 {
			t.Errorf("%s: the sum is %g USD of %s, want %g of %s", name, c.USD, c.Date, sum, prices.Date)
		}
	}
}

// carnation cost counts the same for the same run, where both count.
func TestCountsAreThoseOfCarnationCost(t *testing.T) {
	want := cost.Run{Mode: cost.Inline, Events: 5}.Counts()
	for _, l := range document(t, "inline-succeeded", Options{}).Cost.Lines {
		counted := map[string]int{"state transitions": want.Transitions, "function requests": want.Generates + want.Inserts, "DynamoDB writes": want.Writes}
		if n, ok := counted[l.Part]; ok && l.Quantity != float64(n) {
			t.Errorf("%s: %g, carnation cost counts %d", l.Part, l.Quantity, n)
		}
	}
}
