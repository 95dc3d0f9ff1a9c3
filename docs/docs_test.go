// Package docs checks the form of the documentation. Tests of what it says are beside the code that it describes.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

const root = ".."

// pages are the Markdown files that people read, by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", ".github/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(name)] = string(text)
		}
	}
	return texts
}

var (
	block   = regexp.MustCompile("(?ms)^```.*?^```$")
	code    = regexp.MustCompile("`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	dropped = regexp.MustCompile(`[^a-z0-9_ -]`)
)

// anchors are the names by which GitHub links to the headings of a page.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(block.ReplaceAllString(page, ""), -1) {
		found[strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")] = true
	}
	return found
}

func TestReadmeIsShort(t *testing.T) {
	if lines := strings.Count(pages(t)["README.md"], "\n"); lines > 250 {
		t.Errorf("README.md has %d lines, want at most 250: move details to docs/", lines)
	}
}

func TestTableCellsAreShort(t *testing.T) {
	for name, text := range pages(t) {
		for i, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, "|") {
				continue
			}
			for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
				if length := utf8.RuneCountInString(strings.TrimSpace(cell)); length >= 200 {
					t.Errorf("%s:%d: a table cell has %d characters, want under 200: %.50s...", name, i+1, length, cell)
				}
			}
		}
	}
}

func TestRelativeLinksResolve(t *testing.T) {
	texts := pages(t)
	for name, text := range texts {
		for _, match := range link.FindAllStringSubmatch(code.ReplaceAllString(block.ReplaceAllString(text, ""), ""), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue
			}
			file := name
			if target != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(name), target))
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, match[1])
			} else if anchor != "" && !anchors(texts[file])[anchor] {
				t.Errorf("%s links to %s, but %s has no such heading", name, match[1], file)
			}
		}
	}
}

func TestDesignShowsEveryPackage(t *testing.T) {
	_, tree, _ := strings.Cut(pages(t)["docs/design.md"], "\n## The tree\n")
	tree, _, _ = strings.Cut(tree, "\n## ")
	for _, pattern := range []string{"cmd/*", "internal/*", "internal/function/*"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := filepath.Base(path)
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !info.IsDir() || strings.HasPrefix(name, ".") || name == "testdata" {
				continue
			}
			if !strings.Contains(tree, " "+name+"/") {
				t.Errorf("the tree in docs/design.md does not show %s", strings.TrimPrefix(filepath.ToSlash(path), root+"/"))
			}
		}
	}
}
