// The transformations of libmodsecurity 3 by themselves, for tests/differential.
//
//   transform <values >results
//
// A value is the names of the transformations, separated by commas, and the value; a result is what the last one returns.
// Each is that many bytes after a number of four bytes, highest first.
//
// The classes are declared here as far as the library exports them: their headers are not installed.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <sstream>
#include <string>

namespace modsecurity {
class Transaction;
namespace actions {
namespace transformations {
#define EACH(DO) \
    DO(Base64Decode, "base64Decode") DO(CmdLine, "cmdLine") DO(CompressWhitespace, "compressWhitespace") \
    DO(CssDecode, "cssDecode") DO(EscapeSeqDecode, "escapeSeqDecode") DO(HexDecode, "hexDecode") \
    DO(HexEncode, "hexEncode") DO(HtmlEntityDecode, "htmlEntityDecode") DO(JsDecode, "jsDecode") DO(Length, "length") \
    DO(LowerCase, "lowercase") DO(NormalisePath, "normalizePath") DO(NormalisePathWin, "normalizePathWin") \
    DO(RemoveComments, "removeComments") DO(RemoveCommentsChar, "removeCommentsChar") DO(RemoveNulls, "removeNulls") \
    DO(RemoveWhitespace, "removeWhitespace") DO(ReplaceComments, "replaceComments") DO(ReplaceNulls, "replaceNulls") \
    DO(Sha1, "sha1") DO(Trim, "trim") DO(TrimLeft, "trimLeft") DO(TrimRight, "trimRight") DO(UrlDecode, "urlDecode") \
    DO(UrlDecodeUni, "urlDecodeUni") DO(Utf8ToUnicode, "utf8toUnicode")
#define DECLARE(CLASS, NAME) \
    struct CLASS { \
        std::string evaluate(const std::string &value, Transaction *transaction); \
    };
EACH(DECLARE)
}  // namespace transformations
}  // namespace actions
}  // namespace modsecurity

namespace {

using Function = std::string (*)(const std::string &value);

// None of these functions looks at the object that it is a member of.
template <typename Class>
std::string call(const std::string &value) {
    static char nothing[256];
    return reinterpret_cast<Class *>(nothing)->evaluate(value, nullptr);
}

#define ROW(CLASS, NAME) {NAME, call<modsecurity::actions::transformations::CLASS>},
const std::map<std::string, Function> functions = {EACH(ROW)};

bool next(std::string *text) {
    unsigned char length[4];
    if (std::fread(length, 1, 4, stdin) != 4) {
        return false;
    }
    text->resize(size_t{length[0]} << 24 | size_t{length[1]} << 16 | size_t{length[2]} << 8 | length[3]);
    return std::fread(text->data(), 1, text->size(), stdin) == text->size();
}

}  // namespace

int main() {
    std::string names, value;
    while (next(&names) && next(&value)) {
        std::istringstream steps(names);
        for (std::string name; std::getline(steps, name, ',');) {
            const auto found = functions.find(name);
            if (found == functions.end()) {
                std::fprintf(stderr, "transform: unknown: %s\n", name.c_str());
                return 1;
            }
            value = found->second(value);
        }
        const size_t size = value.size();
        for (const int shift : {24, 16, 8, 0}) {
            std::putchar(static_cast<int>(size >> shift & 0xFF));
        }
        std::fwrite(value.data(), 1, size, stdout);
        std::fflush(stdout);
    }
}
