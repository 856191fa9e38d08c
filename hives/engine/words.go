package engine

import (
	"fmt"
	"strings"
)

// splitWords splits a command as a shell would, without being one: blanks and line ends divide,
// quotes and backslashes hold together, # begins a comment where a word may begin. Nothing is
// expanded, and what a shell would act on (| ; > $) is text. A backslash at the end of a line
// continues the command there.
func splitWords(text string) ([]string, error) {
	s := splitter{text: text}
	for s.at < len(text) {
		if err := s.step(text[s.at]); err != nil {
			return nil, err
		}
	}
	s.end()
	return s.words, nil
}

type splitter struct {
	text   string
	at     int
	word   strings.Builder
	inWord bool
	words  []string
}

// step takes the next piece of the text.
func (s *splitter) step(c byte) error {
	rest := s.text[s.at+1:]
	switch {
	case c == '\\' && (strings.HasPrefix(rest, "\n") || strings.HasPrefix(rest, "\r\n")):
		s.end()
		s.at += 1 + strings.IndexByte(rest, '\n') + 1
	case c == '\\' && rest == "":
		return fmt.Errorf("ends in the middle of something: a backslash is the last character")
	case c == '\\':
		s.add(rest[:1])
		s.at += 2
	case c == '\'' || c == '"':
		return s.quoted(c)
	case c == '#' && !s.inWord:
		if n := strings.IndexByte(s.text[s.at:], '\n'); n >= 0 {
			s.at += n
		} else {
			s.at = len(s.text)
		}
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		s.end()
		s.at++
	default:
		s.add(s.text[s.at : s.at+1])
		s.at++
	}
	return nil
}

// quoted takes a quotation. Between double quotes a backslash takes the meaning of a double
// quote, a dollar, a backquote, a backslash or a line end; it is text before all else.
func (s *splitter) quoted(quote byte) error {
	from := s.at
	s.add("")
	for s.at++; s.at < len(s.text); s.at++ {
		c := s.text[s.at]
		switch {
		case c == quote:
			s.at++
			return nil
		case c == '\\' && quote == '"' && s.at+1 < len(s.text) && strings.IndexByte("\"$`\\\n", s.text[s.at+1]) >= 0:
			s.at++
			if s.text[s.at] != '\n' {
				s.add(s.text[s.at : s.at+1])
			}
		default:
			s.add(s.text[s.at : s.at+1])
		}
	}
	return fmt.Errorf("ends in the middle of something: the quote at %.40q is not closed", s.text[from:])
}

func (s *splitter) add(text string) {
	s.inWord = true
	s.word.WriteString(text)
}

func (s *splitter) end() {
	if s.inWord {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.inWord = false
}
