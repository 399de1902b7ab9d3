"""From conversations and plain text to rows of token ids and labels, int32."""
