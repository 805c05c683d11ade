// Categories as Unicode 8 had them, which Hugging Face's BERT tokenizer still uses (its tables are
// those of the Rust crate unicode_categories). Later additions count as unassigned: a newer
// combining mark is kept, a newer punctuation mark does not split.
#pragma once

namespace pangu::text {

bool was_nonspacing_mark(char32_t c);  // Mn
bool was_punctuation(char32_t c);      // P*
// Cc, Cf, Co; not Cn.
bool was_other(char32_t c);

}  // namespace pangu::text
