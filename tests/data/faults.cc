// Real faults in a real engine: preloaded into the agent, this takes the place of a call that every header of every
// request goes through, and does what the value of the header `x-fault` says. See tests/faults. For ModSecurity 2.9
// faults2.c is linked with it.
//
// While the file named by FAULT_WHILE exists, every request is as bad as `x-fault: null`. While the file named by
// FAULT_FORK exists, no process can be forked, as at a limit of processes.

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>

// All that is needed of the engine's class: the names of the calls.
namespace modsecurity {
class Transaction {
 public:
    int addRequestHeader(const std::string &name, const std::string &value);
    int processLogging();
};
}  // namespace modsecurity

// What code in an engine that was taken over would try: attempts.cc.
void attempt(const std::string &order);

namespace {

// The exit status that says that a fault could not be brought about.
const int NO_FAULT = 99;

void write_to_null() {
    volatile int *volatile nowhere = nullptr;
    *nowhere = 1;
}

// The frame is used after the call, so this stays a recursion.
int overflow_the_stack(volatile char *above, long depth) {
    if (depth == 0) {
        return *above;
    }
    volatile char frame[4096];
    frame[0] = *above;
    return overflow_the_stack(frame, depth - 1) + frame[0];
}

void free_twice() {
    void (*volatile release)(void *) = std::free;
    void *block = std::malloc(40);
    release(block);
    release(block);
}

ssize_t die_while_writing(void *, const char *, size_t) {
    write_to_null();
    return -1;
}

// glibc prints its statistics with the arena's lock in its hands. What it prints to is ours.
void die_with_the_lock_of_malloc() {
    cookie_io_functions_t functions = {};
    functions.write = die_while_writing;
    FILE *trap = fopencookie(nullptr, "w", functions);
    if (trap == nullptr || std::setvbuf(trap, nullptr, _IONBF, 0) != 0) {
        _exit(NO_FAULT);
    }
    stderr = trap;
    malloc_stats();
}

}  // namespace

// The log that this process has open: it may not open it again.
int audit_log() {
    const char *path = std::getenv("FAULT_AUDIT_LOG");
    struct stat wanted = {};
    if (path == nullptr || stat(path, &wanted) != 0) {
        _exit(NO_FAULT);
    }
    for (int file = 3; file < 1024; ++file) {
        struct stat found = {};
        // The agent has a descriptor by which the file can only be looked at (O_PATH).
        const bool is_writable = (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY;
        if (is_writable && fstat(file, &found) == 0 && found.st_dev == wanted.st_dev &&
            found.st_ino == wanted.st_ino) {
            return file;
        }
    }
    _exit(NO_FAULT);
}

namespace {

// The lock that the engine itself takes to write a record.
void die_with_the_lock_of_the_audit_log() {
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (fcntl(audit_log(), F_SETLKW, &lock) != 0) {
        _exit(NO_FAULT);
    }
    write_to_null();
}

// Whether the next request is the one that finds the damage.
bool damaged = false;

void spin() {
    volatile bool on = true;
    while (on) {
    }
}

}  // namespace

extern "C" void fault(const char *name) {
    const std::string kind(name);
    if (kind == "null") {
        write_to_null();
    } else if (kind == "abort") {
        std::abort();
    } else if (kind == "stack") {
        char first = 1;
        overflow_the_stack(&first, 1L << 40);
    } else if (kind == "free") {
        free_twice();
    } else if (kind == "throw") {
        throw std::runtime_error("thrown on purpose");
    } else if (kind == "spin") {
        spin();
    } else if (kind == "malloc-lock") {
        die_with_the_lock_of_malloc();
    } else if (kind == "audit-lock") {
        die_with_the_lock_of_the_audit_log();
    } else if (kind == "exit") {
        _exit(3);
    } else if (kind == "stop") {
        std::raise(SIGSTOP);
        return;
    } else if (kind.rfind("attempt ", 0) == 0) {
        attempt(kind.substr(8));
        return;
    } else if (kind == "late") {
        damaged = true;
        return;
    }
    // Still here: no such kind, or it did no harm.
    _exit(NO_FAULT);
}

// The damage of `x-fault: late`: to be called once in each request, before its faults.
extern "C" void fault_late() {
    if (damaged) {
        write_to_null();
    }
}

extern "C" void fault_while() {
    static const char *const file = std::getenv("FAULT_WHILE");
    if (file != nullptr && access(file, F_OK) == 0) {
        write_to_null();
    }
}

extern "C" pid_t fork() {
    using Fork = pid_t (*)();
    static const Fork own = reinterpret_cast<Fork>(dlsym(RTLD_NEXT, "fork"));
    static const char *const file = std::getenv("FAULT_FORK");
    if (file != nullptr && access(file, F_OK) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return own();
}

namespace {

using Add = int (*)(modsecurity::Transaction *, const std::string &, const std::string &);

std::set<modsecurity::Transaction *> &doomed() {
    static std::set<modsecurity::Transaction *> all;
    return all;
}

Add engines_own() {
    return reinterpret_cast<Add>(dlsym(
        RTLD_NEXT,
        "_ZN11modsecurity11Transaction16addRequestHeaderERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_"));
}

}  // namespace

int modsecurity::Transaction::addRequestHeader(const std::string &name, const std::string &value) {
    static const Add own = engines_own();
    if (name == "host") {
        fault_late();
    }
    if (name == "x-fault" && value == "finish") {
        doomed().insert(this);
    } else if (name == "x-fault") {
        fault(value.c_str());
    }
    fault_while();
    return own(this, name, value);
}

// `x-fault: finish` does its harm when the transaction is finished.
int modsecurity::Transaction::processLogging() {
    using Log = int (*)(Transaction *);
    static const Log own =
        reinterpret_cast<Log>(dlsym(RTLD_NEXT, "_ZN11modsecurity11Transaction14processLoggingEv"));
    if (doomed().count(this) != 0) {
        write_to_null();
    }
    return own(this);
}
