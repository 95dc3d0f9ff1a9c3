package assets

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Every text has to reach a contrast of 4.5 on every background on which style.css puts it, and the signs 3:
// https://www.w3.org/TR/WCAG21/#contrast-minimum and https://www.w3.org/TR/WCAG21/#non-text-contrast
func TestThePaletteHasEnoughContrast(t *testing.T) {
	surfaces := []string{"bg", "surface", "sunken"}
	pairs := map[string][]string{ // foreground: backgrounds
		"text":  append([]string{"good-bg", "bad-bg", "wait-bg", "busy-bg", "still-bg"}, surfaces...),
		"muted": append([]string{"busy-bg"}, surfaces...), "accent": append([]string{"busy-bg"}, surfaces...), "on-accent": {"accent"},
		"good": append([]string{"good-bg"}, surfaces...), "bad": append([]string{"bad-bg"}, surfaces...), "wait": append([]string{"wait-bg"}, surfaces...),
		"busy": append([]string{"busy-bg"}, surfaces...), "still": append([]string{"still-bg"}, surfaces...), "surface": {"bad"},
	}
	signs := []string{"good-fill", "bad-fill", "wait-fill", "busy-fill", "still-fill", "strong-line", "focus"}

	blocks := regexp.MustCompile(`(?s):root \{(.*?)\n\s*\}`).FindAllStringSubmatch(read("style.css"), -1)
	if len(blocks) != 2 {
		t.Fatalf("style.css has %d palettes, want 2: light and dark", len(blocks))
	}
	for i, scheme := range []string{"light", "dark"} {
		palette := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6});`).FindAllStringSubmatch(blocks[i][1], -1) {
			palette[m[1]] = m[2]
		}
		check := func(front, back string, want float64) {
			f, b := palette[front], palette[back]
			if f == "" || b == "" {
				t.Errorf("%s: there is no %s or no %s", scheme, front, back)
			} else if got := contrast(t, f, b); got < want {
				t.Errorf("%s: %s %s on %s %s has a contrast of %.2f, want %.1f", scheme, front, f, back, b, got, want)
			}
		}
		for front, backs := range pairs {
			for _, back := range backs {
				check(front, back, 4.5)
			}
		}
		for _, sign := range signs {
			check(sign, "surface", 3)
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of a colour: https://www.w3.org/TR/WCAG21/#dfn-relative-luminance
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	hex := strings.TrimPrefix(color, "#")
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
