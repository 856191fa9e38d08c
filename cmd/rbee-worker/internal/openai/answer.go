package openai

// Usage counts tokens.
type Usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// Message is a whole chat message.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Delta is what a chunk adds to a chat message.
type Delta struct {
	Role    string  `json:"role,omitempty"`
	Content *string `json:"content,omitempty"`
}

// Choice is one text, whole or a piece of it: exactly one of Message, Delta and Text is set.
type Choice struct {
	Index        int      `json:"index"`
	Message      *Message `json:"message,omitempty"`
	Delta        *Delta   `json:"delta,omitempty"`
	Text         *string  `json:"text,omitempty"`
	LogProbs     *string  `json:"logprobs"` // always null
	FinishReason *string  `json:"finish_reason"`
}

// Answer is a whole answer or one chunk of a stream.
type Answer struct {
	ID                string   `json:"id"`
	Object            string   `json:"object"`
	Created           int64    `json:"created"` // Unix seconds
	Model             string   `json:"model"`
	SystemFingerprint string   `json:"system_fingerprint"`
	Choices           []Choice `json:"choices"`
	Usage             *Usage   `json:"usage,omitempty"`
}

// Object is the API's name for the type of an answer.
func Object(chat, chunk bool) string {
	switch {
	case chat && chunk:
		return "chat.completion.chunk"
	case chat:
		return "chat.completion"
	}
	return "text_completion"
}

// Piece is the choice of a chunk that adds text.
func Piece(chat bool, index int, text string) Choice {
	if chat {
		return Choice{Index: index, Delta: &Delta{Content: &text}}
	}
	return Choice{Index: index, Text: &text}
}

// Opening is the choice of a chat stream's first chunk.
func Opening(index int) Choice {
	empty := ""
	return Choice{Index: index, Delta: &Delta{Role: "assistant", Content: &empty}}
}

// Ending is the choice of the chunk that closes a text.
func Ending(chat bool, index int, reason string) Choice {
	if chat {
		return Choice{Index: index, Delta: &Delta{}, FinishReason: &reason}
	}
	empty := ""
	return Choice{Index: index, Text: &empty, FinishReason: &reason}
}

// Whole is the choice of an answer that is not streamed.
func Whole(chat bool, index int, text, reason string) Choice {
	if chat {
		return Choice{Index: index, Message: &Message{Role: "assistant", Content: text}, FinishReason: &reason}
	}
	return Choice{Index: index, Text: &text, FinishReason: &reason}
}
