// What code in an engine would try that has taken it over: in place of an exploit, see tests/faults/prison.rs. Linked with
// faults.cc, whose header `x-fault: attempt NAME ARGUMENT` chooses one.
//
// What comes back from an attempt is its errno, on standard error, and the end of the engine: each attempt has an engine of
// its own. What the kernel ends the engine for does not come back.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>

int audit_log();

namespace {

// Where the jobs of this engine's worker are: found before the engine is confined, as an exploit would search for them.
char *jobs;
size_t jobs_size;

void find_jobs() {
    FILE *maps = std::fopen("/proc/self/maps", "re");
    char line[512];
    while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
        uintptr_t begin = 0, end = 0;
        if (std::strstr(line, "memfd:jobs") != nullptr && std::sscanf(line, "%lx-%lx", &begin, &end) == 2) {
            jobs = reinterpret_cast<char *>(begin);
            jobs_size = end - begin;
        }
    }
    if (maps != nullptr) {
        std::fclose(maps);
    }
}

// While the worker reads, too.
long fill_jobs(int byte) {
    for (int count = 0; count < 20 && jobs != nullptr; ++count) {
        std::memset(jobs, byte, jobs_size);
    }
    return jobs == nullptr ? -1 : 0;
}

long opened(const std::string &path, int flags) {
    return open(path.c_str(), flags | O_CLOEXEC);
}

long socket_of(int family, int type) {
    return socket(family, type | SOCK_CLOEXEC, 0);
}

long executable_memory() {
    return mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

long shared_memory() {
    return mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
}

long all_memory() {
    for (size_t taken = 0; taken < size_t{8} << 30; taken += 64 << 20) {
        if (mmap(nullptr, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) {
            return -1;
        }
    }
    return 0;
}

long all_files() {
    for (int count = 0; count < 10000; ++count) {
        if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) {
            return -1;
        }
    }
    return 0;
}

// Far more than the log has room for, and then a line that looks like one of the log's.
long flood() {
    const std::string line(200, 'x');
    for (int count = 0; count < 10000; ++count) {
        dprintf(STDERR_FILENO, "%s\n", line.c_str());
    }
    return 0;
}

long vm_write(pid_t pid) {
    char byte = 0;
    iovec local = {&byte, 1}, remote = {&byte, 1};
    return process_vm_writev(pid, &local, 1, &remote, 1, 0);
}

using Attempt = std::function<long(const std::string &)>;

const std::map<std::string, Attempt> &attempts() {
    static auto pid = [](const std::string &text) { return static_cast<pid_t>(std::atol(text.c_str())); };
    static const std::map<std::string, Attempt> all = {
        {"memory", [](auto &text) { return opened("/proc/" + text + "/mem", O_RDWR); }},
        {"environment", [](auto &text) { return opened("/proc/" + text + "/environ", O_RDONLY); }},
        {"descriptor", [](auto &text) { return opened("/proc/" + text + "/fd/0", O_RDWR); }},
        {"own-memory", [](auto &) { return opened("/proc/self/mem", O_RDWR); }},
        {"process_vm_writev", [](auto &text) { return vm_write(pid(text)); }},
        {"ptrace", [](auto &text) { return ptrace(PTRACE_ATTACH, pid(text), nullptr, nullptr); }},
        {"pidfd_open", [](auto &text) { return syscall(SYS_pidfd_open, pid(text), 0); }},
        {"pidfd_getfd", [](auto &) { return syscall(SYS_pidfd_getfd, 0, 0, 0); }},
        {"kill", [](auto &text) { return kill(pid(text), SIGKILL); }},
        {"stop", [](auto &text) { return kill(pid(text), SIGSTOP); }},
        {"tgkill", [](auto &text) { return syscall(SYS_tgkill, pid(text), pid(text), SIGKILL); }},
        {"fork", [](auto &) { return fork(); }},
        {"vfork", [](auto &) { return syscall(SYS_vfork); }},
        {"clone3", [](auto &) { return syscall(SYS_clone3, nullptr, 0); }},
        {"exec", [](auto &text) { return execl(text.c_str(), text.c_str(), nullptr); }},
        {"setsid", [](auto &) { return setsid(); }},
        {"setpgid", [](auto &) { return setpgid(0, 0); }},
        {"setuid", [](auto &) { return syscall(SYS_setuid, 0); }},
        {"read", [](auto &text) { return opened(text, O_RDONLY); }},
        {"write", [](auto &text) { return opened(text, O_WRONLY); }},
        {"create", [](auto &text) { return opened(text, O_WRONLY | O_CREAT); }},
        {"unlink", [](auto &text) { return unlink(text.c_str()); }},
        {"rename", [](auto &text) { return rename(text.c_str(), (text + ".away").c_str()); }},
        {"mkdir", [](auto &text) { return mkdir((text + ".d").c_str(), 0777); }},
        {"symlink", [](auto &text) { return symlink("/etc/passwd", (text + ".link").c_str()); }},
        {"chmod", [](auto &text) { return chmod(text.c_str(), 0666); }},
        {"fchmod", [](auto &) { return fchmod(audit_log(), 0666); }},
        {"truncate", [](auto &) { return ftruncate(audit_log(), 0); }},
        {"not-append", [](auto &) { return fcntl(audit_log(), F_SETFL, 0); }},
        {"inet", [](auto &) { return socket_of(AF_INET, SOCK_STREAM); }},
        {"inet6", [](auto &) { return socket_of(AF_INET6, SOCK_DGRAM); }},
        {"unix", [](auto &) { return socket_of(AF_UNIX, SOCK_STREAM); }},
        {"netlink", [](auto &) { return socket_of(AF_NETLINK, SOCK_RAW); }},
        {"mount", [](auto &) { return mount("none", "/mnt", "tmpfs", 0, nullptr); }},
        {"bpf", [](auto &) { return syscall(SYS_bpf, 0, nullptr, 0); }},
        {"add_key", [](auto &) { return syscall(SYS_add_key, "user", "a", "b", 1, -3); }},
        {"io_uring_setup", [](auto &) { return syscall(SYS_io_uring_setup, 1, nullptr); }},
        {"unshare", [](auto &) { return syscall(SYS_unshare, 0x10000000); }},
        {"memfd_create", [](auto &) { return syscall(SYS_memfd_create, "a", 0); }},
        {"dumpable", [](auto &) { return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0); }},
        {"handler", [](auto &) { return std::signal(SIGSYS, SIG_IGN) == SIG_ERR ? -1 : 0; }},
        {"executable", [](auto &) { return executable_memory(); }},
        {"shared", [](auto &) { return shared_memory(); }},
        {"all-memory", [](auto &) { return all_memory(); }},
        {"all-files", [](auto &) { return all_files(); }},
        {"lies", [](auto &text) { return fill_jobs(std::atoi(text.c_str())); }},
        {"flood", [](auto &) { return flood(); }},
    };
    return all;
}

}  // namespace

void attempt(const std::string &order) {
    const size_t space = order.find(' ');
    const std::string name = order.substr(0, space);
    const std::string argument = space == std::string::npos ? "" : order.substr(space + 1);
    const auto found = attempts().find(name);
    if (found == attempts().end()) {
        dprintf(STDERR_FILENO, "attempt %s: unknown\n", name.c_str());
        _exit(1);
    }
    if (name == "lies" && jobs != nullptr) {
        // The worker may end the engine in the middle of it.
        dprintf(STDERR_FILENO, "attempt lies: told\n");
    }
    errno = 0;
    const long result = found->second(argument);
    // After a flood the engine goes on.
    if (name != "flood") {
        dprintf(STDERR_FILENO, "attempt %s: %s %d\n", name.c_str(), result == -1 ? "errno" : "done", result == -1 ? errno : 0);
        _exit(0);
    }
}

// The last call of an engine's before it is confined that goes through here finds its memory mapped.
extern "C" int prctl(int option, ...) {
    va_list list;
    va_start(list, option);
    const unsigned long first = va_arg(list, unsigned long), second = va_arg(list, unsigned long);
    const unsigned long third = va_arg(list, unsigned long), fourth = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_PDEATHSIG) {
        find_jobs();
    }
    return static_cast<int>(syscall(SYS_prctl, option, first, second, third, fourth));
}
