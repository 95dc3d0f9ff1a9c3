package cost

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// Prices are list prices of AWS.
type Prices struct {
	Region string           `json:"region"`
	Date   string           `json:"date"`   // when they were read
	Prices map[string]Price `json:"prices"` // by part of a bill
}

// Price is the price of a number of units.
type Price struct {
	USD    float64 `json:"usd"`
	Per    float64 `json:"per"` // units
	Unit   string  `json:"unit"`
	Source string  `json:"source"`            // page of AWS
	ReadAt string  `json:"read_at,omitempty"` // page that the figure was read from, if not that one
	Note   string  `json:"note,omitempty"`
}

//go:embed prices.json
var pricesJSON []byte

// LoadPrices returns the prices of prices.json, which is embedded in the program.
func LoadPrices() (Prices, error) {
	var p Prices
	if err := json.Unmarshal(pricesJSON, &p); err != nil {
		return p, fmt.Errorf("read prices: %w", err)
	}
	return p, nil
}
